"""Closed surfaces of segments, made when asked for and then kept true to the voxels.

Making a surface takes up to a second for a large organ, and blocks.
"""

from collections.abc import Iterable
from typing import Any

import slicer

from SegVolLogic.errors import SceneError
from SegVolLogic.segment_grid import checked_segmentation

CLOSED_SURFACE = "Closed surface"

_SMOOTHING = "Smoothing factor"


def surfaces_shown(node: Any) -> bool:
    """Whether a segmentation has surfaces."""
    return bool(node.GetSegmentation().ContainsRepresentation(CLOSED_SURFACE))


def show_surfaces(node: Any, *, smoothing: float | None = None) -> None:
    """Make the closed surfaces of all segments, for the 3D view.

    Parameters
    ----------
    node
        Segmentation node.
    smoothing
        Slicer's smoothing factor: 0 for none, 1 for much; None to leave it as it is.

    Raises
    ------
    SceneError
        If the segmentation cannot be written into, or Slicer cannot make the surfaces.
    """
    segmentation = checked_segmentation(node)
    if smoothing is not None and segmentation.GetConversionParameter(_SMOOTHING) != str(smoothing):
        segmentation.SetConversionParameter(_SMOOTHING, str(smoothing))
        node.RemoveClosedSurfaceRepresentation()
    if segmentation.GetNumberOfSegments() and not node.CreateClosedSurfaceRepresentation():
        raise SceneError(f"Slicer could not make the surfaces of “{node.GetName()}”.")


def hide_surfaces(node: Any) -> None:
    """Drop the closed surfaces of all segments."""
    checked_segmentation(node)
    node.RemoveClosedSurfaceRepresentation()


def update_surfaces(node: Any, segment_ids: Iterable[str]) -> None:
    """Make the surfaces of segments again whose voxels have changed, if surfaces are shown.

    Raises
    ------
    SceneError
        As :func:`show_surfaces`.
    """
    segmentation = checked_segmentation(node)
    if not surfaces_shown(node):
        return
    segments = [segmentation.GetSegment(segment_id) for segment_id in segment_ids]
    for segment in filter(None, segments):
        segment.RemoveRepresentation(CLOSED_SURFACE)
    if not segmentation.CreateRepresentation(CLOSED_SURFACE):
        raise SceneError(f"Slicer could not make the surfaces of “{node.GetName()}”.")
    segmentation.InvokeEvent(slicer.vtkSegmentation.RepresentationModified)
