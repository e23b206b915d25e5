"""Scenes to test in: volumes in every orientation, under every kind of transform."""

import itertools

import numpy as np
import slicer
import slicer.util
from geometry_strategies import rotation

from SegVolLogic.transforms import to_vtk

SHAPE_KJI = (6, 7, 8)


def _affine(axes, spacing=(0.8, 0.9, 2.5), origin=(-31.0, 12.5, 104.0)):
    affine = np.eye(4)
    affine[:3, :3] = np.asarray(axes, float).T * spacing
    affine[:3, 3] = origin
    return affine


ORIENTATIONS = {
    "axial": _affine([(-1, 0, 0), (0, -1, 0), (0, 0, 1)]),
    "axial, feet first": _affine([(-1, 0, 0), (0, -1, 0), (0, 0, -1)]),
    "sagittal": _affine([(0, -1, 0), (0, 0, -1), (1, 0, 0)]),
    "coronal": _affine([(-1, 0, 0), (0, 0, -1), (0, 1, 0)]),
    "left-handed": _affine([(1, 0, 0), (0, -1, 0), (0, 0, 1)]),
    "oblique": _affine(rotation((0.3, -0.4, 0.7)) @ np.diag((-1, -1, 1))),
    "tilted gantry": _affine([(-1, 0, 0), (0, -1, 0), (0, 0.35, 1)]),
}
"""IJK to RAS; the rows are the directions of i, j and k."""


def matrix(linear=((1, 0, 0), (0, 1, 0), (0, 0, 1)), shift=(0, 0, 0)):
    result = np.eye(4)
    result[:3, :3] = linear
    result[:3, 3] = shift
    return result


TRANSFORMS = {
    "no transform": (),
    "translated": (matrix(shift=(10.25, -7.5, 33.0)),),
    "rotated": (matrix(rotation((0.5, 0.2, -0.9)), (4.0, 5.0, 6.0)),),
    "nested": (
        matrix(rotation((0.1, 0.4, 0.0)), (1.0, 0.0, -2.0)),
        matrix(shift=(100.0, 0.0, 0.0)),
        matrix(rotation((0.0, 0.0, 1.2)) @ np.diag((1.0, 1.3, 0.8))),
    ),
    "sheared": (matrix([(1, 0, 0), (0, 1, 0.35), (0, 0, 1)]),),
}
"""From the innermost to the outermost."""

PLACES = [
    *itertools.product(ORIENTATIONS, ["no transform", "nested"]),
    *itertools.product(["axial", "oblique"], ["translated", "rotated", "sheared"]),
]


def add_volume(scene, orientation="axial", shape_kji=SHAPE_KJI, seed=0):
    """CT of random numbers."""
    voxels = np.random.default_rng(seed).integers(-1000, 1000, shape_kji).astype(np.int16)
    affine = ORIENTATIONS[orientation] if isinstance(orientation, str) else orientation
    node = slicer.util.addVolumeFromArray(voxels, affine, "CT")
    node.CreateDefaultDisplayNodes()
    return node


def put_under(scene, node, matrices):
    """Put a node under a chain of transforms, the first the innermost; the first one's node."""
    child, first = node, None
    for one in matrices:
        transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        transform.SetMatrixTransformToParent(to_vtk(one))
        child.SetAndObserveTransformNodeID(transform.GetID())
        child, first = transform, first or transform
    return first


def bend(scene, node):
    """Put a node under a transform that is not linear."""
    import vtk  # noqa: PLC0415

    spline = vtk.vtkThinPlateSplineTransform()
    source, target = vtk.vtkPoints(), vtk.vtkPoints()
    for corner in itertools.product((-50, 50), repeat=3):
        source.InsertNextPoint(corner)
        target.InsertNextPoint(corner)
    source.InsertNextPoint(0, 0, 0)
    target.InsertNextPoint(0, 5, 9)
    spline.SetSourceLandmarks(source)
    spline.SetTargetLandmarks(target)
    spline.SetBasisToR()
    transform = scene.AddNewNodeByClass("vtkMRMLTransformNode")
    transform.SetAndObserveTransformToParent(spline)
    node.SetAndObserveTransformNodeID(transform.GetID())


def world_of(volume_node, ijk):
    """Where Slicer itself says that a voxel is in the world: its own matrix, its own transforms."""
    import vtk  # noqa: PLC0415

    ijk_to_ras = vtk.vtkMatrix4x4()
    volume_node.GetIJKToRASMatrix(ijk_to_ras)
    local = ijk_to_ras.MultiplyPoint((*ijk, 1))[:3]
    world = [0.0, 0.0, 0.0]
    volume_node.TransformPointToWorld(local, world)
    return tuple(world)


def slicers_mask(segmentation_node, segment_id, volume_node):
    """A segment on a volume's voxels (k, j, i) as Slicer itself exports it."""
    array = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation_node, segment_id, volume_node)
    return (
        np.zeros(volume_node.GetImageData().GetDimensions()[::-1], bool)
        if array is None
        else array.astype(bool)
    )


def block(start, stop, shape_kji=SHAPE_KJI):
    """Mask (k, j, i) that is true in a box of voxels."""
    mask = np.zeros(shape_kji, bool)
    mask[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = True
    return mask
