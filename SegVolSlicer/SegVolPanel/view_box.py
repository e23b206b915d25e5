"""A box to begin with: half as wide as what is seen, in its middle, and inside the volume."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from segvol_core.prompts import Box

PART_OF_VIEW = 0.5


def box_in_view(scene: Any, volume_node: Any) -> Box:
    """Return a box for the slice view that is shown, or for the volume's middle if none is.

    It is upright in the world, RAS millimetres, and as deep as its shorter side is long.
    """
    low, high = _volume_bounds(volume_node)
    slice_node = _shown_slice(scene)
    if slice_node is not None:
        seen_low, seen_high = _seen_bounds(slice_node)
        inside_low, inside_high = np.maximum(low, seen_low), np.minimum(high, seen_high)
        if (inside_low < inside_high).all():
            return _box(inside_low, inside_high)
    middle, half = (low + high) / 2, (high - low) / 2
    return _box(middle - PART_OF_VIEW * half, middle + PART_OF_VIEW * half)


def _box(low: Sequence[float], high: Sequence[float]) -> Box:
    return Box.from_bounds(tuple(map(float, low)), tuple(map(float, high)))


def _volume_bounds(node: Any) -> tuple[np.ndarray, np.ndarray]:
    bounds = [0.0] * 6
    node.GetRASBounds(bounds)
    return np.array(bounds[0::2]), np.array(bounds[1::2])


def _shown_slice(scene: Any) -> Any:
    """The slice node to look at: the red one if it is in the layout, else any that is."""
    nodes = [
        scene.GetNthNodeByClass(n, "vtkMRMLSliceNode")
        for n in range(scene.GetNumberOfNodesByClass("vtkMRMLSliceNode"))
    ]
    mapped = [node for node in nodes if node.IsMappedInLayout()]
    red = [node for node in mapped if node.GetLayoutName() == "Red"]
    return next(iter(red or mapped), None)


def _seen_bounds(slice_node: Any) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of the middle of a slice view in the world, RAS millimetres."""
    width, height, _ = slice_node.GetFieldOfView()
    half = PART_OF_VIEW * np.array([width, height, min(width, height)]) / 2
    signs = np.array(np.meshgrid(*[(-1.0, 1.0)] * 3)).reshape(3, -1).T
    matrix = slice_node.GetSliceToRAS()
    corners = [matrix.MultiplyPoint((*corner, 1.0))[:3] for corner in signs * half]
    return np.min(corners, axis=0), np.max(corners, axis=0)
