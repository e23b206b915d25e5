"""Markups in the scene to the core's prompts, and a segment's prompts back into the markups.

Positions are the world's, whatever transform a markups node is under.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import numpy as np
import slicer
import vtk

from segvol_core.prompts import Box, Point, Position, Prompts
from segvol_core.volume import FloatArray
from SegVolLogic.errors import SceneError
from SegVolLogic.events_of_node import told_once
from SegVolLogic.transforms import from_vtk, node_to_world, to_vtk, transformed, world_to_node
from SegVolLogic.words import tr as _


@dataclass(frozen=True)
class PromptNodes:
    """The markups that hold the prompts of the segment being worked on; each may be missing.

    Attributes
    ----------
    positive, negative
        `vtkMRMLMarkupsFiducialNode`: points on what is wanted, and on what is not.
    box
        `vtkMRMLMarkupsROINode`.
    """

    positive: Any = None
    negative: Any = None
    box: Any = None

    def __iter__(self) -> Iterator[Any]:
        """The nodes that there are."""
        return (node for node in (self.positive, self.negative, self.box) if node is not None)


def prompts_of(nodes: PromptNodes, text: str | None = None) -> Prompts | None:
    """What the nodes and the text say, None if that is nothing at all.

    Raises
    ------
    PromptError
        If there are only negative points.
    SceneError
        If the box is under a transform that is not linear.
    """
    points = (*points_of(nodes.positive), *points_of(nodes.negative, positive=False))
    box = box_of(nodes.box)
    text = text.strip() if text else None
    if not points and box is None and not text:
        return None
    return Prompts(points, box, text or None)


def points_of(node: Any, *, positive: bool = True) -> tuple[Point, ...]:
    """World positions of the points that have been placed.

    A point being placed, one that was skipped, and one whose position was taken back are none.
    """
    if node is None:
        return ()
    return tuple(
        Point(_world_position(node, index), positive)
        for index in range(node.GetNumberOfControlPoints())
        if node.GetNthControlPointPositionStatus(index) == node.PositionDefined
    )


def box_of(node: Any) -> Box | None:
    """World corners of a region of interest, None while it is not complete.

    Raises
    ------
    SceneError
        If it is under a transform that is not linear, so that it is no box in the world.
    """
    if node is None or not _is_complete(node):
        return None
    size = np.array(node.GetSize(), dtype=np.float64)
    object_to_world = node_to_world(node) @ from_vtk(node.GetObjectToNodeMatrix())
    signs = np.array(np.meshgrid(*[(-0.5, 0.5)] * 3, indexing="ij")).reshape(3, 8).T
    return Box.from_corners(transformed(object_to_world, signs * size))


def show(prompts: Prompts | None, nodes: PromptNodes) -> None:
    """Put prompts into the nodes in place of what is there; reading them gives them again.

    Raises
    ------
    SceneError
        If a node is missing for a prompt that there is, or is under a transform that is not linear.
    """
    points = () if prompts is None else prompts.points
    show_points(nodes.positive, [point.ras for point in points if point.positive])
    show_points(nodes.negative, [point.ras for point in points if not point.positive])
    show_box(nodes.box, None if prompts is None else prompts.box)


def show_points(node: Any, positions: Iterable[Position]) -> None:
    """Make these world positions the only points of a node; those that stay are not touched."""
    positions = list(positions)
    if node is None:
        if positions:
            raise SceneError(_("There is no list of points to show the segment's points in."))
        return
    there, count, previews = _placed(node), node.GetNumberOfControlPoints(), _previews(node)
    if there == positions and len(there) + previews == count:
        return
    with _without_place_mode(node) if previews else nullcontext():
        _replace_points(node, positions)


def _replace_points(node: Any, positions: list[Position]) -> None:
    count, there = node.GetNumberOfControlPoints(), _placed(node)
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(there, positions, strict=False))
    stay = len(list(alike)) if len(there) == count else 0
    with told_once(node):
        for index in reversed(range(stay, count)):
            node.RemoveNthControlPoint(index)
        for position in positions[stay:]:
            node.AddControlPointWorld(vtk.vtkVector3d(*position))


@contextmanager
def _without_place_mode(node: Any) -> Iterator[None]:
    """Have Slicer take away the point under the mouse itself, and go on placing afterwards.

    Its views remember that point by its index, and complain of one that is not there any more.
    """
    scene = node.GetScene()
    interaction = scene and scene.GetNodeByID("vtkMRMLInteractionNodeSingleton")
    if interaction is None or interaction.GetCurrentInteractionMode() != interaction.Place:
        yield
        return
    interaction.SetCurrentInteractionMode(interaction.ViewTransform)
    try:
        yield
    finally:
        interaction.SetCurrentInteractionMode(interaction.Place)


def _previews(node: Any) -> int:
    """How many points are under the mouse, not placed yet."""
    statuses = map(node.GetNthControlPointPositionStatus, range(node.GetNumberOfControlPoints()))
    return sum(status == node.PositionPreview for status in statuses)


def show_box(node: Any, box: Box | None) -> None:
    """Make a node's region of interest this box, or empty it.

    A box that is sheared in the node's coordinates becomes the upright box round it.
    """
    if node is None:
        if box is not None:
            raise SceneError(_("There is no region of interest to show the segment's box in."))
        return
    if box == box_of(node):
        return
    with told_once(node):
        if box is None:
            node.RemoveAllControlPoints()
        else:
            object_to_node, size = _placement(transformed(world_to_node(node), box.corners))
            node.SetSize(*size.tolist())
            node.SetAndObserveObjectToNodeMatrix(to_vtk(object_to_node))
        _let_handles_be_dragged(node, box is not None)


def bring_to_front(node: Any) -> None:
    """Have Slicer's views draw markups over what was added before now.

    They draw in the order in which display nodes came, and several segments hide a point.
    """
    scene, display = node.GetScene(), node.GetDisplayNode()
    if scene is None or display is None:
        return
    later = display.NewInstance()
    later.CopyContent(display)
    later.SetSaveWithScene(display.GetSaveWithScene())
    scene.AddNode(later)
    node.SetAndObserveDisplayNodeID(later.GetID())
    scene.RemoveNode(display)


def are_under_the_mouse(node: Any) -> bool:
    """Whether Slicer shows where a click would put a point."""
    return _previews(node) > 0


def add_points_node(scene: Any, *, positive: bool) -> Any:
    """Add a list of points on what is wanted, or on what is not.

    It is saved with the scene no more than any helper: each segment keeps its own prompts.
    """
    name, color = ("SegVol +", (0.1, 0.8, 0.2)) if positive else ("SegVol -", (0.9, 0.1, 0.1))
    node, display = _add(scene, "vtkMRMLMarkupsFiducialNode", name)
    if display is not None:
        display.SetSelectedColor(*color)
        display.SetColor(*color)
        # That of the point under the mouse, which is the one that was just placed.
        display.SetActiveColor(*color)
        display.SetPointLabelsVisibility(False)
    return node


def add_box_node(scene: Any) -> Any:
    """Add a region of interest, empty and saved no more than the points."""
    node, display = _add(scene, "vtkMRMLMarkupsROINode", "SegVol box")
    if display is not None:
        display.SetFillOpacity(0.05)
        display.SetPropertiesLabelVisibility(False)
        display.SetRotationHandleVisibility(False)
    _let_handles_be_dragged(node, False)
    return node


def _add(scene: Any, class_name: str, name: str) -> tuple[Any, Any]:
    # Slicer lets clicks go to a list that is added; they are to go on where they went.
    selection = scene.GetNodeByID("vtkMRMLSelectionNodeSingleton")
    if selection is not None:
        place = selection.GetActivePlaceNodeClassName(), selection.GetActivePlaceNodeID()
    node = scene.AddNewNodeByClass(class_name, name)
    if selection is not None:
        selection.SetReferenceActivePlaceNodeClassName(place[0])
        selection.SetActivePlaceNodeID(place[1])
    node.SetSaveWithScene(False)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    if display is not None:
        display.SetSaveWithScene(False)
    return node, display


def _let_handles_be_dragged(box: Any, on: bool) -> None:
    """Show a region's handles, or none: one without a size would show them at the origin."""
    display = box.GetDisplayNode()
    if display is not None:
        display.SetHandlesInteractive(on)


def _world_position(node: Any, index: int) -> Position:
    position = [0.0, 0.0, 0.0]
    node.GetNthControlPointPositionWorld(index, position)
    r, a, s = position
    return r, a, s


def _placed(node: Any) -> list[Position]:
    return [point.ras for point in points_of(node)]


def _is_complete(node: Any) -> bool:
    """Whether a region of interest has been drawn to its end."""
    if node.GetROIType() not in (
        slicer.vtkMRMLMarkupsROINode.ROITypeBox,
        slicer.vtkMRMLMarkupsROINode.ROITypeBoundingBox,
    ):
        return False
    return bool(min(node.GetSize()) > 0) and not _previews(node)


def _placement(corners: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Object-to-node matrix and size of a region of interest with these corners, (8, 3)."""
    edges = (corners[[4, 2, 1]] - corners[0]).T
    lengths = np.linalg.norm(edges, axis=0)
    matrix = np.eye(4)
    if lengths.all() and _is_box(corners, edges, lengths):
        matrix[:3, :3] = edges / lengths
        if np.linalg.det(matrix[:3, :3]) < 0:
            matrix[:3, 0] *= -1
        matrix[:3, 3] = corners.mean(axis=0)
        return matrix, lengths
    low, high = corners.min(axis=0), corners.max(axis=0)
    matrix[:3, 3] = (low + high) / 2
    return matrix, high - low


def _is_box(corners: FloatArray, edges: FloatArray, lengths: FloatArray) -> bool:
    """Whether corners are in the order of `Box.from_corners`, with right angles."""
    signs = np.array(np.meshgrid(*[(0.0, 1.0)] * 3, indexing="ij")).reshape(3, 8).T
    straight = np.abs(corners[0] + signs @ edges.T - corners).max() < 1e-6 * lengths.max()
    cosines = (edges / lengths).T @ (edges / lengths)
    return bool(straight and np.abs(cosines - np.eye(3)).max() < 1e-9)
