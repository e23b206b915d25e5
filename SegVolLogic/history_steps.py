"""Steps of a history taken back and done again in the scene."""

from collections.abc import Iterable
from typing import Any

from SegVolLogic.events_of_node import told_once
from SegVolLogic.history import SegmentChange, Step
from SegVolLogic.labelmap_layers import segment_ids
from SegVolLogic.segment_tags import PROMPTS_TAG, set_tag
from SegVolLogic.segment_writer import apply_changes, take_back
from SegVolLogic.segments import (
    TERMINOLOGY_TAG,
    SegmentRecord,
    remove_segment,
    restore_segment,
)
from SegVolLogic.voxel_change import VoxelChange


def undo_step(node: Any, step: Step) -> None:
    """Take a step back: what it changed, and nothing else, is as before it.

    Raises
    ------
    SceneError
        If the segmentation cannot be written into any more.
    """
    changes = [SegmentChange(change.after, change.before) for change in step.segments]
    _create(node, changes)
    take_back(node, _existing(node, step.voxels))
    _describe(node, changes)
    _remove(node, changes)


def redo_step(node: Any, step: Step) -> None:
    """Do a step again.

    Raises
    ------
    SceneError
        If the segmentation cannot be written into any more.
    """
    _create(node, step.segments)
    apply_changes(node, _existing(node, step.voxels))
    _describe(node, step.segments)
    _remove(node, step.segments)


def _existing(node: Any, voxels: Iterable[VoxelChange]) -> tuple[VoxelChange, ...]:
    ids = set(segment_ids(node))
    return tuple(change for change in voxels if change.segment_id in ids)


def _create(node: Any, changes: Iterable[SegmentChange]) -> None:
    for change in changes:
        if change.before is None and change.after is not None:
            restore_segment(node, change.after)


def _remove(node: Any, changes: Iterable[SegmentChange]) -> None:
    for change in changes:
        if change.after is None and change.segment_id in segment_ids(node):
            remove_segment(node, change.segment_id)


def _describe(node: Any, changes: Iterable[SegmentChange]) -> None:
    """Set what differs between the records; what someone else changed since then stays."""
    for change in changes:
        before, after = change.before, change.after
        if before is not None and after is not None and after.segment_id in segment_ids(node):
            _set_difference(node, before, after)


def _set_difference(node: Any, before: SegmentRecord, after: SegmentRecord) -> None:
    segment = node.GetSegmentation().GetSegment(after.segment_id)
    if before.name != after.name:
        segment.SetName(after.name)
    if before.color != after.color:
        segment.SetColor(*after.color)
    with told_once(node):
        if before.terminology != after.terminology:
            set_tag(segment, TERMINOLOGY_TAG, after.terminology)
        if before.prompts_tag != after.prompts_tag:
            set_tag(segment, PROMPTS_TAG, after.prompts_tag)
