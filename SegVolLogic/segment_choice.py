"""Which segment new prompts go to: one that has them, one that is unused, or a new one."""

from contextlib import suppress
from typing import Any

from segvol_core.prompts import Prompts
from SegVolLogic.errors import SceneError
from SegVolLogic.labelmap_layers import segment_ids, segment_voxels
from SegVolLogic.segment_tags import stored_prompts
from SegVolLogic.segments import add_segment, is_unnamed, record_of


def segment_for(node: Any, prompts: Prompts, current: str | None) -> str:
    """Return a segment with these prompts, the current one if it is unused, or a new one.

    Raises
    ------
    SceneError
        If the segmentation cannot be written into.
    """
    for segment_id in segment_ids(node):
        with suppress(SceneError):  # Prompts that cannot be read are not these.
            if stored_prompts(node, segment_id) == prompts:
                return segment_id
    if current is not None and is_unused(node, current):
        return current
    return add_segment(node)


def is_unused(node: Any, segment_id: str) -> bool:
    """Whether a segment has no name of its own, no prompts and no voxels."""
    if not is_unnamed(node, segment_id) or record_of(node, segment_id).prompts_tag:
        return False
    return segment_voxels(node, segment_id).mask().empty
