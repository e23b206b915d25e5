"""Closed surfaces of segments, made when asked for and then kept true to the voxels.

Making a surface takes up to a second for a large organ, and blocks: several are made one by one.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import slicer

from SegVolLogic.errors import SceneError
from SegVolLogic.segment_grid import BINARY_LABELMAP, checked_segmentation
from SegVolLogic.words import tr as _

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
        raise SceneError(
            _("Slicer could not make the surfaces of “{name}”.").format(name=node.GetName())
        )


def surfaces_in_steps(node: Any, *, smoothing: float) -> Iterator[tuple[int, int]]:
    """Make the closed surfaces as `show_surfaces` does, one segment in each step.

    What is shown stays as it is until all are made. A segment that changes meanwhile is made again
    at the end.

    Parameters
    ----------
    node
        Segmentation node.
    smoothing
        As in `show_surfaces`.

    Yields
    ------
    Number of the segment that comes next, from 1, and how many there are.

    Raises
    ------
    SceneError
        As `show_surfaces`.
    """
    segmentation = checked_segmentation(node)
    segment_ids = list(segmentation.GetSegmentIDs())
    made = {}
    for number, segment_id in enumerate(segment_ids, 1):
        yield number, len(segment_ids)
        segment = segmentation.GetSegment(segment_id)
        if segment is not None:
            made[segment_id] = (_changed_at(segment), _surface_of(segmentation, segment, smoothing))
    segmentation.SetConversionParameter(_SMOOTHING, str(smoothing))
    for segment_id in segmentation.GetSegmentIDs():
        segment = segmentation.GetSegment(segment_id)
        when, surface = made.get(segment_id, (None, None))
        if surface is not None and when == _changed_at(segment):
            segment.AddRepresentation(CLOSED_SURFACE, surface)
        else:
            segment.RemoveRepresentation(CLOSED_SURFACE)
    show_surfaces(node)
    segmentation.InvokeEvent(slicer.vtkSegmentation.ContainedRepresentationNamesModified)
    segmentation.InvokeEvent(slicer.vtkSegmentation.RepresentationModified)


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
        raise SceneError(
            _("Slicer could not make the surfaces of “{name}”.").format(name=node.GetName())
        )
    segmentation.InvokeEvent(slicer.vtkSegmentation.RepresentationModified)


def _surface_of(segmentation: Any, segment: Any, smoothing: float) -> Any:
    """Surface of one segment, made by Slicer in a segmentation of its own; None for no voxels."""
    if _changed_at(segment) is None:
        return None
    copy = slicer.vtkSegment()
    copy.SetLabelValue(segment.GetLabelValue())
    copy.AddRepresentation(BINARY_LABELMAP, segment.GetRepresentation(BINARY_LABELMAP))
    alone = slicer.vtkSegmentation()
    alone.SetSourceRepresentationName(BINARY_LABELMAP)
    alone.CopyConversionParameters(segmentation)
    alone.SetConversionParameter(_SMOOTHING, str(smoothing))
    alone.AddSegment(copy, "alone")
    alone.CreateRepresentation(CLOSED_SURFACE)
    return copy.GetRepresentation(CLOSED_SURFACE)


def _changed_at(segment: Any) -> int | None:
    """Slicer's count of changes when the voxels of a segment were changed last."""
    image = segment.GetRepresentation(BINARY_LABELMAP)
    scalars = None if image is None else image.GetPointData().GetScalars()
    return None if scalars is None else int(scalars.GetMTime())
