"""The voxel grid of a segmentation, and how a volume's voxels lie on it.

A segmentation has a reference geometry, on which Slicer saves it, and one or more layers of
voxels. SegVol writes only where all of these and the volume are one grid, that is, where voxels
coincide: a mask is then copied voxel by voxel and is never resampled. One part of the grid may
begin elsewhere than another (a cropped volume), and nodes may be under different transforms.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray

from segvol_core.volume import FloatArray
from SegVolLogic.errors import SceneError
from SegVolLogic.packed_mask import Index
from SegVolLogic.transforms import from_vtk, to_vtk, world_to_node
from SegVolLogic.volume_node import ijk_to_world, volume_of
from SegVolLogic.words import tr as _

BINARY_LABELMAP = "Binary labelmap"

_TOLERANCE = 1e-2
"""How far, in voxels, two grids may be apart anywhere in the volume: rounding in files only."""


@dataclass(frozen=True, eq=False)
class SegmentGrid:
    """Where the voxels of a volume are on the grid of a segmentation.

    Attributes
    ----------
    ijk_to_local
        4 x 4 matrix from the grid's voxel indices to the segmentation's own RAS millimetres.
    offset_kji
        What to add to an index of the volume to have the grid's.
    shape_kji
        Size of the volume.
    """

    ijk_to_local: FloatArray
    offset_kji: Index
    shape_kji: Index


def grid_for(segmentation_node: Any, volume_node: Any) -> SegmentGrid:
    """Find a volume's voxels on the grid of a segmentation.

    A segmentation that has no voxels yet takes the volume's grid as its reference geometry.

    Raises
    ------
    SceneError
        If there is no segmentation, it is on another grid, it is made of surfaces, or one of the
        nodes is under a transform that is not linear.
    """
    segmentation = checked_segmentation(segmentation_node)
    volume = volume_of(volume_node)
    volume_to_local = world_to_node(segmentation_node) @ ijk_to_world(volume_node)
    layers = [image for image in layer_images(segmentation) if image.GetNumberOfPoints()]
    if not layers and not _same_as_reference(segmentation_node, volume_to_local, volume.shape_kji):
        segmentation_node.SetReferenceImageGeometryParameterFromVolumeNode(volume_node)
    reference = reference_geometry(segmentation_node)
    matrices = [reference, *(image_to_local(image) for image in layers)]
    offsets = [grid_offset(volume_to_local, matrix, volume.shape_kji) for matrix in matrices]
    if any(offset is None for offset in offsets) or offsets[0] is None:
        raise SceneError(
            _(
                "The voxels of the segmentation “{segmentation}” and of the volume “{volume}” do "
                "not coincide, so that a result would have to be resampled. Choose a new "
                "segmentation, or the volume that this one was made on."
            ).format(segmentation=segmentation_node.GetName(), volume=volume_node.GetName())
        )
    return SegmentGrid(reference, offsets[0], volume.shape_kji)


def checked_segmentation(node: Any) -> Any:
    """Return the `vtkSegmentation` of a node that SegVol can write into.

    Raises
    ------
    SceneError
        If there is none, or if it is made of something else than binary label maps.
    """
    if node is None or not node.IsA("vtkMRMLSegmentationNode"):
        raise SceneError(_("Choose a segmentation first, or let SegVol make a new one."))
    segmentation = node.GetSegmentation()
    if segmentation is None:
        raise SceneError(
            _("The segmentation “{name}” has not been loaded.").format(name=node.GetName())
        )
    source = segmentation.GetSourceRepresentationName()
    if segmentation.GetNumberOfSegments() and source != BINARY_LABELMAP:
        raise SceneError(
            _(
                "The segmentation “{name}” is made of {source}s, not of voxels. Choose a new "
                "segmentation, or make the binary label map the source representation of this one "
                "in the Segmentations module."
            ).format(name=node.GetName(), source=source.lower())
        )
    if source != BINARY_LABELMAP:
        segmentation.SetSourceRepresentationName(BINARY_LABELMAP)
    return segmentation


def layer_images(segmentation: Any) -> list[Any]:
    """Return the label maps of a segmentation; each may hold several segments."""
    layers = segmentation.GetNumberOfLayers(BINARY_LABELMAP)
    images = (segmentation.GetLayerDataObject(layer, BINARY_LABELMAP) for layer in range(layers))
    return [image for image in images if image is not None]


def image_to_local(image: Any) -> FloatArray:
    """4 x 4 matrix from a label map's indices to the segmentation's own RAS millimetres."""
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return from_vtk(matrix)


def reference_geometry(node: Any) -> FloatArray:
    """4 x 4 matrix from the reference geometry's indices to the segmentation's own RAS.

    A segmentation that was never told a reference geometry has that of its first layer.

    Raises
    ------
    SceneError
        If there is neither.
    """
    written = _reference_parameter(node)
    if written is not None:
        return written[0]
    for image in layer_images(node.GetSegmentation()):
        if image.GetNumberOfPoints():
            return image_to_local(image)
    raise SceneError(
        _("The segmentation “{name}” has no geometry yet.").format(name=node.GetName())
    )


def grid_offset(from_ijk: FloatArray, to_ijk: FloatArray, shape_kji: Index) -> Index | None:
    """Return what to add to an index (k, j, i) of one grid to have the other's.

    Both matrices lead to the same coordinates; None if voxels within `shape_kji` do not coincide.
    """
    between = np.linalg.inv(to_ijk) @ from_ijk
    offset = np.rint(between[:3, 3])
    last = np.array(shape_kji[::-1], dtype=np.float64) - 1
    corners = np.array(np.meshgrid(*[(0.0, 1.0)] * 3, indexing="ij")).reshape(3, 8).T * last
    apart = corners @ between[:3, :3].T + between[:3, 3] - (corners + offset)
    if np.abs(apart).max() > _TOLERANCE or np.abs(between[:3, :3] - np.eye(3)).max() > _TOLERANCE:
        return None
    i, j, k = (int(number) for number in offset)
    return k, j, i


def _reference_parameter(node: Any) -> tuple[FloatArray, NDArray[np.int64]] | None:
    converter = slicer.vtkSegmentationConverter
    name = converter.GetReferenceImageGeometryParameterName()
    written = node.GetSegmentation().GetConversionParameter(name)
    matrix, extent = vtk.vtkMatrix4x4(), [0, -1, 0, -1, 0, -1]
    if not written or not converter.DeserializeImageGeometry(written, matrix, extent):
        return None
    return from_vtk(matrix), np.array(extent)


def _same_as_reference(node: Any, volume_to_local: FloatArray, shape_kji: Index) -> bool:
    reference = _reference_parameter(node)
    if reference is None:
        return False
    matrix, extent = reference
    i, j, k = (extent[1::2] - extent[::2] + 1).tolist()
    if grid_offset(volume_to_local, matrix, shape_kji) != (0, 0, 0):
        return False
    return (k, j, i) == shape_kji and not extent[::2].any()


def new_label_image(ijk_to_local: FloatArray) -> Any:
    """Return a label map without voxels on a grid."""
    image = slicer.vtkOrientedImageData()
    image.SetImageToWorldMatrix(to_vtk(ijk_to_local))
    return image
