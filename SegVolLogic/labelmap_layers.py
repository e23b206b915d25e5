"""Voxels of segments in the label maps that they share, read and written in place.

Slicer keeps segments that do not overlap in one label map, each with its own value. Writing in
place changes only the voxels that change: Slicer's own `SetBinaryLabelmapToSegment` goes over the
whole label map several times, which takes a second for a CT of 512 x 512 x 300.

Positions are indices (k, j, i) of the segmentation's grid, that is, of its reference geometry.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from segvol_core.volume import FloatArray
from SegVolLogic.errors import SceneError
from SegVolLogic.packed_mask import Index, Mask, PackedMask, PlanesWithin
from SegVolLogic.segment_grid import (
    BINARY_LABELMAP,
    checked_segmentation,
    grid_offset,
    image_to_local,
    new_label_image,
    reference_geometry,
)
from SegVolLogic.voxel_change import ExtentMask, VoxelChange, bounding_slices
from SegVolLogic.words import tr as _

_SHARED_LABEL = 1
"""Value of a segment that is alone in its label map, as Slicer chooses it too."""


@dataclass(frozen=True, eq=False)
class SegmentVoxels:
    """Where one segment's voxels are stored.

    Attributes
    ----------
    image
        `vtkOrientedImageData`, perhaps shared with other segments.
    voxels
        Its values, (k, j, i); writing into them writes into the image.
    label
        The value that means this segment.
    start_kji
        Index of the first voxel on the grid.
    """

    image: Any
    voxels: NDArray[Any]
    label: int
    start_kji: Index

    def within(self, start_kji: Index, stop_kji: Index) -> Mask:
        """Mask of the segment on an extent of the grid."""
        low, high = self.intersection(start_kji, stop_kji)
        if not _spans(low, high):
            return np.zeros([b - a for a, b in zip(start_kji, stop_kji, strict=True)], np.bool_)
        found = ExtentMask(low, self.view(low, high) == self.label)
        return (
            found.voxels
            if (low, high) == (start_kji, stop_kji)
            else found.within(start_kji, stop_kji)
        )

    def covers_others(self, change: VoxelChange) -> bool:
        """Whether a change adds voxels that have the value of another segment."""
        for values, added in self.under(change.added):
            under = values * added
            # Most often it is all 0, and one look is enough.
            if under.any() and ((under != 0) & (under != self.label)).any():
                return True
        return False

    def under(self, mask: PackedMask) -> Iterator[tuple[NDArray[Any], Mask]]:
        """Stored values of each plane where a mask has voxels, and the mask on the same extent."""
        depth, _height, width = mask.shape_kji
        k0, j0, i0 = mask.start_kji
        for index in range(depth):
            found = mask.rows(index)
            if found is None:
                continue
            rows, marked = found
            start = (k0 + index, j0 + rows.start, i0)
            low, high = self.intersection(start, (start[0] + 1, j0 + rows.stop, i0 + width))
            if _spans(low, high):
                yield self.view(low, high)[0], marked[_slices(low, high, start)[1:]]

    def beneath(self, start_kji: Index, mask: Mask) -> tuple[Index, NDArray[Any], Mask]:
        """Where what is stored meets a mask that begins at `start_kji`.

        Returns
        -------
        start_kji, values, mask
            The extent that both have in common, without a plane if there is none.
        """
        k, j, i = (a + n for a, n in zip(start_kji, mask.shape, strict=True))
        low, high = self.intersection(start_kji, (k, j, i))
        if not _spans(low, high):
            return start_kji, self.voxels[:0], mask[:0]
        return low, self.view(low, high), mask[_slices(low, high, start_kji)]

    def view(self, start_kji: Index, stop_kji: Index) -> NDArray[Any]:
        """Stored values of an extent, which must lie inside what is stored."""
        return self.voxels[_slices(start_kji, stop_kji, self.start_kji)]

    @property
    def stop_kji(self) -> Index:
        """Index just behind the last stored voxel."""
        k, j, i = (a + n for a, n in zip(self.start_kji, self.voxels.shape, strict=True))
        return k, j, i

    @property
    def label_fits(self) -> bool:
        """Whether the stored type can hold the segment's value."""
        return self.label <= np.iinfo(self.voxels.dtype).max

    def holds(self, start_kji: Index, stop_kji: Index) -> bool:
        """Whether an extent lies inside what is stored."""
        return self.intersection(start_kji, stop_kji) == (start_kji, stop_kji)

    def intersection(self, start_kji: Index, stop_kji: Index) -> tuple[Index, Index]:
        """Extent that is both stored and in the given one."""
        k0, j0, i0 = (max(a, b) for a, b in zip(start_kji, self.start_kji, strict=True))
        k1, j1, i1 = (min(a, b) for a, b in zip(stop_kji, self.stop_kji, strict=True))
        return (k0, j0, i0), (k1, j1, i1)

    def planes(self, start_kji: Index, stop_kji: Index) -> PlanesWithin:
        """Planes of the segment's mask on an extent of the grid."""
        return PlanesWithin(self.voxels, self.start_kji, (start_kji, stop_kji), self.label)

    def mask(self) -> ExtentMask:
        """The whole segment, cropped to its voxels."""
        box = bounding_slices(plane == self.label for plane in self.voxels)
        if box is None:
            return ExtentMask((0, 0, 0), np.zeros((0, 0, 0), np.bool_))
        k, j, i = (first + part.start for first, part in zip(self.start_kji, box, strict=True))
        return ExtentMask((k, j, i), self.voxels[box] == self.label)


def segment_voxels(node: Any, segment_id: str) -> SegmentVoxels:
    """Where a segment's voxels are.

    Raises
    ------
    SceneError
        If the segmentation is not made of voxels, has no such segment, or if the segment's label
        map is on another grid than its segmentation.
    """
    segment = segment_of(node, segment_id)
    image = segment.GetRepresentation(BINARY_LABELMAP)
    label = int(segment.GetLabelValue())
    if image is None or image.GetPointData().GetScalars() is None or not image.GetNumberOfPoints():
        return SegmentVoxels(image, np.zeros((0, 0, 0), np.uint8), label, (0, 0, 0))
    i, j, k = image.GetDimensions()
    to_grid = grid_offset(image_to_local(image), reference_geometry(node), (k, j, i))
    if to_grid is None:
        raise SceneError(
            _("The segment “{name}” is not on the voxel grid of its segmentation.").format(
                name=segment.GetName()
            )
        )
    voxels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(k, j, i)
    first = image.GetExtent()[4::-2]
    start = tuple(a + b for a, b in zip(first, to_grid, strict=True))
    return SegmentVoxels(image, voxels, label, (start[0], start[1], start[2]))


def segment_of(node: Any, segment_id: str) -> Any:
    """Return the `vtkSegment` with an ID.

    Raises
    ------
    SceneError
        If the segmentation cannot be written into, or has no such segment.
    """
    segment = checked_segmentation(node).GetSegment(segment_id)
    if segment is None:
        raise SceneError(
            _("The segmentation “{name}” has no such segment any more.").format(name=node.GetName())
        )
    return segment


def segment_ids(node: Any) -> list[str]:
    """IDs of a segmentation's segments in their order."""
    return list(node.GetSegmentation().GetSegmentIDs())


def apply_change(node: Any, change: VoxelChange) -> None:
    """Give a segment the voxels that a change adds, and take those that it removes.

    No other segment changes: where an added voxel belongs to a segment of the same label map, the
    two get label maps of their own first.

    Raises
    ------
    SceneError
        As :func:`segment_voxels`.
    """
    stored = segment_voxels(node, change.segment_id)
    start, stop = change.start_kji, change.stop_kji
    if change.added.any:
        if stored.covers_others(change):
            stored = _separated(node, change.segment_id, stored)
        if not (stored.holds(start, stop) and stored.label_fits):
            stored = _enlarged(node, stored, change.segment_id, start, stop)
    _write(stored, change)
    announce(node, change.segment_id)


def announce(node: Any, segment_id: str) -> None:
    """Tell Slicer that a segment's voxels were written.

    The image itself is not `Modified()`: a segmentation would drop the surfaces of all its
    segments for that.
    """
    segmentation = node.GetSegmentation()
    image = segmentation.GetSegment(segment_id).GetRepresentation(BINARY_LABELMAP)
    if image is not None and image.GetPointData().GetScalars() is not None:
        image.GetPointData().GetScalars().Modified()
    segmentation.InvokeEvent(slicer.vtkSegmentation.SourceRepresentationModified, segment_id)
    segmentation.InvokeEvent(slicer.vtkSegmentation.RepresentationModified, segment_id)


def _write(stored: SegmentVoxels, change: VoxelChange) -> None:
    """Write a change, whose added voxels are all stored and nobody else's."""
    if not stored.label_fits:
        return
    label = stored.voxels.dtype.type(stored.label)
    # Arithmetic, which is faster than writing where a mask is true.
    for values, removed in stored.under(change.removed):
        np.bitwise_xor(values, label * (removed & (values == label)), out=values)
    for values, added in stored.under(change.added):
        np.bitwise_or(values, label * added, out=values)


def _spans(start: Index, stop: Index) -> bool:
    """Whether an extent has a voxel."""
    return all(a < b for a, b in zip(start, stop, strict=True))


def _slices(start: Index, stop: Index, origin: Index) -> tuple[slice, ...]:
    return tuple(slice(a - o, b - o) for a, b, o in zip(start, stop, origin, strict=True))


def _separated(node: Any, segment_id: str, stored: SegmentVoxels) -> SegmentVoxels:
    """Move a segment out of the label map that it shares into one of its own."""
    mask = stored.mask()
    image = _image(reference_geometry(node), mask.start_kji, mask.voxels.view(np.uint8))
    segment = segment_of(node, segment_id)
    if not mask.empty:
        values = stored.view(mask.start_kji, mask.stop_kji)
        np.copyto(values, 0, where=mask.voxels)
        stored.image.GetPointData().GetScalars().Modified()
    segment.SetLabelValue(_SHARED_LABEL)
    segment.AddRepresentation(BINARY_LABELMAP, image)
    return segment_voxels(node, segment_id)


def _enlarged(
    node: Any, stored: SegmentVoxels, segment_id: str, start_kji: Index, stop_kji: Index
) -> SegmentVoxels:
    """Give the segments of a label map another one, which holds an extent and the value as well."""
    segmentation = node.GetSegmentation()
    sharing = [
        other
        for other in segment_ids(node)
        if segmentation.GetSegment(other).GetRepresentation(BINARY_LABELMAP) is stored.image
    ]
    if stored.voxels.size:
        start = tuple(min(a, b) for a, b in zip(start_kji, stored.start_kji, strict=True))
        stop = tuple(max(a, b) for a, b in zip(stop_kji, stored.stop_kji, strict=True))
    else:
        start, stop = start_kji, stop_kji
    dtype = np.promote_types(stored.voxels.dtype, np.min_scalar_type(stored.label))
    voxels = np.zeros([b - a for a, b in zip(start, stop, strict=True)], dtype)
    first = (start[0], start[1], start[2])
    if stored.voxels.size:
        larger = SegmentVoxels(None, voxels, stored.label, first)
        larger.view(stored.start_kji, stored.stop_kji)[...] = stored.voxels
    image = _image(reference_geometry(node), first, voxels)
    for other in sharing or [segment_id]:
        segmentation.GetSegment(other).AddRepresentation(BINARY_LABELMAP, image)
    return segment_voxels(node, segment_id)


def _image(ijk_to_local: FloatArray, start_kji: Index, values: NDArray[Any]) -> Any:
    """Label map with values that begin at an index of the grid."""
    image = new_label_image(ijk_to_local)
    (k, j, i), (depth, height, width) = start_kji, values.shape
    image.SetExtent(i, i + width - 1, j, j + height - 1, k, k + depth - 1)
    # VTK keeps the array alive, and the pages of its zeros are not touched before they are used.
    scalars = numpy_to_vtk(np.ascontiguousarray(values).ravel(), deep=False)
    scalars.SetName("ImageScalars")
    image.GetPointData().SetScalars(scalars)
    return image
