"""Each segment's own prompts, kept in its tags, so that a saved scene or `.seg.nrrd` keeps them.

They are JSON, in the segmentation's own coordinates: a segmentation that is moved by a transform
takes its prompts along, as it takes its voxels.
"""

import json
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
import vtk

from segvol_core.errors import PromptError
from segvol_core.prompts import Box, Point, Position, Prompts
from segvol_core.volume import FloatArray
from SegVolLogic.errors import SceneError
from SegVolLogic.labelmap_layers import segment_of
from SegVolLogic.transforms import node_to_world, transformed, world_to_node
from SegVolLogic.words import tr as _

PROMPTS_TAG = "SegVol.Prompts"
VERSION = 1


def stored_prompts(node: Any, segment_id: str) -> Prompts | None:
    """Prompts of a segment, in world RAS millimetres; None if it has none.

    Raises
    ------
    SceneError
        If there is no such segment, the segmentation is under a transform that is not linear, or
        the tag cannot be read: it is damaged, or was written by a newer version.
    """
    segment = segment_of(node, segment_id)
    written = tag(segment, PROMPTS_TAG)
    if not written:
        return None
    name = segment.GetName()
    try:
        data = json.loads(written)
        version = data.pop("version")
        if version != VERSION:
            raise SceneError(
                _(
                    "The prompts of “{name}” were stored by another version of SegVol ({version})."
                ).format(name=name, version=version)
            )
        if data.get("text") is not None:
            data["text"] = unquote(data["text"])
        return moved(Prompts.from_dict(data), node_to_world(node))
    except (ValueError, KeyError, TypeError, AttributeError, PromptError) as error:
        raise SceneError(
            _("The prompts stored with “{name}” cannot be read.").format(name=name)
        ) from error


def store_prompts(node: Any, segment_id: str, prompts: Prompts | None) -> None:
    """Keep prompts, in world RAS millimetres, with a segment in place of those it has.

    Raises
    ------
    SceneError
        If there is no such segment, or the segmentation is under a transform that is not linear.
    """
    segment = segment_of(node, segment_id)
    if prompts is None:
        set_tag(segment, PROMPTS_TAG, "")
        return
    data = moved(prompts, world_to_node(node)).to_dict()
    if data["text"] is not None:
        # Slicer's files separate tags by "|" without any way to write one within a tag.
        data["text"] = quote(data["text"], safe=" ,;()")
    written = json.dumps({"version": VERSION, **data}, separators=(",", ":"))
    set_tag(segment, PROMPTS_TAG, written)


def tag(segment: Any, name: str) -> str:
    """Text of a segment's tag, empty if it has none."""
    value = vtk.reference("")
    return str(value.get()) if segment.GetTag(name, value) else ""


def set_tag(segment: Any, name: str, text: str) -> None:
    """Set a segment's tag, or remove it if the text is empty."""
    if text:
        segment.SetTag(name, text)
    elif segment.HasTag(name):
        segment.RemoveTag(name)
        segment.Modified()


def moved(prompts: Prompts, matrix: FloatArray) -> Prompts:
    """Prompts after a 4 x 4 matrix."""
    if np.array_equal(matrix, np.eye(4)):
        return prompts
    points = tuple(Point(_moved(point.ras, matrix), point.positive) for point in prompts.points)
    box = None
    if prompts.box is not None:
        box = Box.from_corners(transformed(matrix, prompts.box.corners))
    return Prompts(points, box, prompts.text)


def _moved(position: Position, matrix: FloatArray) -> Position:
    r, a, s = transformed(matrix, position).tolist()
    return r, a, s
