"""Matrices between the coordinates of nodes and the world.

Every node with coordinates may sit under a chain of transforms. SegVol works under linear ones,
since voxels and boxes keep their shape there; under others it refuses and says so.
"""

from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import ArrayLike

from segvol_core.volume import FloatArray
from SegVolLogic.errors import SceneError
from SegVolLogic.words import tr as _


def node_to_world(node: Any) -> FloatArray:
    """4 x 4 matrix from a node's own coordinates to the world's, both RAS millimetres.

    Raises
    ------
    SceneError
        If the node is under a transform that is not linear, or under one that flattens space.
    """
    parent = node.GetParentTransformNode()
    if parent is None:
        return np.eye(4)
    if not parent.IsTransformToWorldLinear():
        raise SceneError(
            _(
                "“{name}” is under a transform that bends space, so that its voxels are no longer "
                "in straight rows. Harden that transform, or take the node out of it."
            ).format(name=node.GetName())
        )
    matrix = vtk.vtkMatrix4x4()
    slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(parent, None, matrix)
    to_world = from_vtk(matrix)
    if not np.isfinite(to_world).all() or np.linalg.det(to_world[:3, :3]) == 0:
        raise SceneError(
            _("“{name}” is under a transform that cannot be inverted.").format(name=node.GetName())
        )
    return to_world


def world_to_node(node: Any) -> FloatArray:
    """Inverse of :func:`node_to_world`, with the same errors."""
    return np.asarray(np.linalg.inv(node_to_world(node)), dtype=np.float64)


def transformed(matrix: FloatArray, points: ArrayLike) -> FloatArray:
    """Points of shape (..., 3) after a 4 x 4 matrix."""
    moved = np.asarray(points, dtype=np.float64) @ matrix[:3, :3].T + matrix[:3, 3]
    return np.asarray(moved, dtype=np.float64)


def from_vtk(matrix: Any) -> FloatArray:
    """Array of a `vtkMatrix4x4`."""
    rows = [[matrix.GetElement(row, column) for column in range(4)] for row in range(4)]
    return np.array(rows, dtype=np.float64)


def to_vtk(matrix: ArrayLike) -> Any:
    """`vtkMatrix4x4` of a 4 x 4 array."""
    result = vtk.vtkMatrix4x4()
    result.DeepCopy(np.asarray(matrix, dtype=np.float64).ravel().tolist())
    return result
