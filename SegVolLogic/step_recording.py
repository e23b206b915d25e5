"""What a step changed in the segments, found by comparing them before and after."""

from collections.abc import Mapping
from typing import Any

from SegVolLogic.history import SegmentChange
from SegVolLogic.labelmap_layers import segment_ids
from SegVolLogic.segments import SegmentRecord, record_of


def segment_records(node: Any) -> dict[str, SegmentRecord]:
    """Note all segments of a segmentation node by their IDs, without their voxels."""
    return {segment_id: record_of(node, segment_id) for segment_id in segment_ids(node)}


def segment_changes(
    before: Mapping[str, SegmentRecord], after: Mapping[str, SegmentRecord]
) -> tuple[SegmentChange, ...]:
    """Return the segments that were added, removed, or described otherwise."""
    return tuple(
        SegmentChange(before.get(key), after.get(key))
        for key in {**before, **after}
        if _differ(before.get(key), after.get(key))
    )


def _differ(before: SegmentRecord | None, after: SegmentRecord | None) -> bool:
    if before is None or after is None:
        return before is not after
    same = (before.name, before.color, before.terminology, before.prompts_tag)
    return same != (after.name, after.color, after.terminology, after.prompts_tag)
