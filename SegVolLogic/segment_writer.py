"""A mask on a volume's voxels becomes a segment; what changed is told, so that it can be undone.

Only voxels that change are written. What may happen to other segments is a choice (`Overlap`), and
so is where a result may go at all (`EditableArea`).
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from segvol_core.volume import Volume
from SegVolLogic.covered_segments import others_under
from SegVolLogic.labelmap_layers import SegmentVoxels, apply_change, segment_voxels
from SegVolLogic.packed_mask import Index, Mask, PackedMask
from SegVolLogic.segment_grid import SegmentGrid
from SegVolLogic.voxel_change import ExtentMask, VoxelChange


class Overlap(Enum):
    """What happens where a result meets other segments."""

    ALLOW = "allow"
    """Other segments stay as they are, and the result may overlap them."""
    OVERWRITE = "overwrite"
    """Other segments lose the voxels of the result."""
    AVOID = "avoid"
    """Other segments stay as they are, and the result leaves their voxels out."""


@dataclass(frozen=True)
class EditableArea:
    """Where a result may have voxels, as the Segment Editor's masking.

    Attributes
    ----------
    inside_segment_id
        Only within this segment; None for everywhere.
    intensity_range
        Only where the volume has values from the first to the second, both included.
    """

    inside_segment_id: str | None = None
    intensity_range: tuple[float, float] | None = None


EVERYWHERE = EditableArea()


def write_segment(
    node: Any,
    segment_id: str,
    grid: SegmentGrid,
    mask: ExtentMask,
    *,
    overlap: Overlap = Overlap.ALLOW,
    area: EditableArea = EVERYWHERE,
    volume: Volume | None = None,
) -> tuple[VoxelChange, ...]:
    """Make a mask on the volume's voxels the whole of a segment.

    Parameters
    ----------
    node
        Segmentation node.
    segment_id
        The segment; its earlier voxels that are not in the mask are taken away.
    grid
        Where the volume lies on the segmentation's grid: of `grid_for`.
    mask
        On the voxels (k, j, i) of the volume.
    overlap
        What happens where the mask meets other segments.
    area
        Where the segment may gain voxels.
    volume
        Needed for an intensity range.

    Returns
    -------
    What changed, in the order in which it was written: nothing, this segment, or others too.

    Raises
    ------
    SceneError
        If the segmentation has no such segment or cannot be written into; nothing has changed then.
    """
    stored = segment_voxels(node, segment_id)
    new = mask.moved(grid.offset_kji)
    if area != EVERYWHERE:
        extent = new.start_kji, new.stop_kji
        allowed = stored.within(*extent) | _editable(node, grid, area, volume, extent)
        new = ExtentMask(new.start_kji, new.voxels & allowed)
    changes = []
    if overlap is not Overlap.ALLOW:
        covered = others_under(node, segment_id, new.start_kji, new.voxels)
        if overlap is Overlap.OVERWRITE:
            changes = [removal for layer in covered for removal in layer.removals()]
        elif covered:
            new = ExtentMask(new.start_kji, new.voxels.copy())
            for layer in covered:
                layer.leave_out_of(new.voxels, new.start_kji)
    extent = _union(stored, new)
    own = VoxelChange.between(segment_id, stored.planes(*extent), new.planes(*extent))
    if own is not None:
        changes.append(own)
    for change in changes:
        apply_change(node, change)
    return tuple(changes)


def empty_segment(node: Any, segment_id: str) -> tuple[VoxelChange, ...]:
    """Take all voxels from a segment, whatever volume it was made on.

    Returns
    -------
    What changed.

    Raises
    ------
    SceneError
        As `segment_voxels`.
    """
    held = segment_voxels(node, segment_id)
    voxels = PackedMask.of(held.planes(held.start_kji, held.stop_kji))
    box = voxels.box()
    if box is None:
        return ()
    change = VoxelChange.removal(segment_id, voxels.cropped(box))
    apply_change(node, change)
    return (change,)


def apply_changes(node: Any, changes: tuple[VoxelChange, ...]) -> None:
    """Write changes once more, as after an undo."""
    for change in changes:
        apply_change(node, change)


def take_back(node: Any, changes: tuple[VoxelChange, ...]) -> None:
    """Undo changes, the last one first."""
    for change in reversed(changes):
        apply_change(node, change.reverse)


def segment_mask(node: Any, segment_id: str, grid: SegmentGrid) -> ExtentMask:
    """A segment's voxels as they are on the volume of a grid.

    Raises
    ------
    SceneError
        As `segment_voxels`.
    """
    k, j, i = (-step for step in grid.offset_kji)
    return segment_voxels(node, segment_id).mask().moved((k, j, i))


def _editable(
    node: Any,
    grid: SegmentGrid,
    area: EditableArea,
    volume: Volume | None,
    extent: tuple[Index, Index],
) -> Mask:
    start, stop = extent
    shape = [b - a for a, b in zip(start, stop, strict=True)]
    allowed: Mask = np.ones(shape, np.bool_)
    if area.inside_segment_id is not None:
        allowed &= segment_voxels(node, area.inside_segment_id).within(start, stop)
    if area.intensity_range is not None:
        if volume is None:
            raise ValueError("an intensity range needs the volume")
        low, high = area.intensity_range
        # Outside the volume, where an earlier result may have voxels, there is no intensity.
        first = np.array(start) - grid.offset_kji
        last = np.array(stop) - grid.offset_kji
        inside = [slice(max(a, 0), max(b, 0)) for a, b in zip(first, last, strict=True)]
        values = volume.voxels[tuple(inside)]
        fits = (values >= low) & (values <= high)
        k, j, i = (int(max(a, o)) for a, o in zip(start, grid.offset_kji, strict=True))
        allowed &= ExtentMask((k, j, i), fits).within(start, stop)
    return allowed


def _union(stored: SegmentVoxels, new: ExtentMask) -> tuple[Index, Index]:
    """Smallest extent that holds what is stored and a mask."""
    parts = [(each.start_kji, each.stop_kji) for each in (stored, new) if each.voxels.size]
    if not parts:
        return (0, 0, 0), (0, 0, 0)
    k0, j0, i0 = np.min([start for start, _ in parts], axis=0).tolist()
    k1, j1, i1 = np.max([stop for _, stop in parts], axis=0).tolist()
    return (k0, j0, i0), (k1, j1, i1)
