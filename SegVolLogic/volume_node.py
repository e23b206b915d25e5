"""A scalar volume node as the core's `Volume`, and whether it has changed since."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from segvol_core.volume import FloatArray, Volume
from SegVolLogic.errors import SceneError
from SegVolLogic.transforms import from_vtk, node_to_world
from SegVolLogic.words import tr as _


@dataclass(frozen=True)
class VolumeState:
    """Equal to another one of the same node only while voxels and place are the same.

    Window, level, colours and the node's name are no part of it.
    """

    image: str
    modified: int
    ijk_to_world: tuple[float, ...]


def volume_of(node: Any) -> Volume:
    """Voxels (k, j, i) of a scalar volume node and their place in the world, RAS millimetres.

    The voxels are not copied: they are a read-only view of what Slicer shows.

    Raises
    ------
    SceneError
        If there is no volume, it has no voxels, is no grey-scale image, or is under a transform
        that is not linear.
    VolumeError
        If its voxels do not span space.
    """
    image = _image(node)
    i, j, k = image.GetDimensions()
    voxels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(k, j, i)
    return Volume(voxels, ijk_to_world(node))


def ijk_to_world(node: Any) -> FloatArray:
    """4 x 4 matrix from the indices of :func:`volume_of` to the world, RAS millimetres.

    Raises
    ------
    SceneError
        As :func:`volume_of`.
    """
    return node_to_world(node) @ ijk_to_local(node)


def ijk_to_local(node: Any) -> FloatArray:
    """4 x 4 matrix from voxel indices to the volume node's own RAS millimetres."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    first = np.eye(4)
    first[:3, 3] = _image(node).GetExtent()[::2]
    return from_vtk(matrix) @ first


def volume_state(node: Any) -> VolumeState:
    """Take note of a volume's voxels and place, to see later whether they are still the same.

    Raises
    ------
    SceneError
        As :func:`volume_of`.
    """
    image = _image(node)
    place = tuple(float(number) for number in ijk_to_world(node).ravel())
    return VolumeState(image.GetAddressAsString(""), int(image.GetMTime()), place)


def _image(node: Any) -> Any:
    if node is None:
        raise SceneError(_("Choose a CT volume first."))
    if not node.IsA("vtkMRMLScalarVolumeNode"):
        raise SceneError(_("“{name}” is not a volume.").format(name=node.GetName()))
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        raise SceneError(
            _("“{name}” is a label map: choose the CT that it belongs to.").format(
                name=node.GetName()
            )
        )
    image = node.GetImageData()
    if image is None or image.GetPointData().GetScalars() is None:
        raise SceneError(
            _("“{name}” has no voxels; it may not have been loaded.").format(name=node.GetName())
        )
    if image.GetNumberOfScalarComponents() != 1:
        raise SceneError(
            _("“{name}” is a colour image; SegVol segments CT volumes.").format(name=node.GetName())
        )
    return image
