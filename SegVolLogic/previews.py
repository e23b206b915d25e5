"""Coarse masks, which are in their segments only until the final ones come."""

from typing import Any

from SegVolLogic.labelmap_layers import segment_ids
from SegVolLogic.segment_writer import take_back
from SegVolLogic.voxel_change import VoxelChange


class Previews:
    """What coarse masks changed in a segmentation, by segment, so that it can be taken back."""

    def __init__(self) -> None:
        self._changes: dict[str, tuple[VoxelChange, ...]] = {}

    def __contains__(self, segment_id: object) -> bool:
        """Whether a coarse mask is in a segment."""
        return segment_id in self._changes

    def add(self, segment_id: str, changes: tuple[VoxelChange, ...]) -> None:
        """Remember what a coarse mask of a segment changed."""
        self._changes[segment_id] = changes

    def take_out(self, node: Any, segment_id: str) -> None:
        """Take the coarse mask out of a segment, if it is there."""
        changes = self._changes.pop(segment_id, ())
        if changes and segment_id in segment_ids(node):
            take_back(node, changes)

    def take_all_out(self, node: Any) -> None:
        """Take all coarse masks out."""
        for segment_id in list(self._changes):
            self.take_out(node, segment_id)

    def forget(self, segment_id: str) -> None:
        """Forget the coarse mask of a segment that is gone."""
        self._changes.pop(segment_id, None)

    def forget_all(self) -> None:
        """Forget all: the segmentation is gone."""
        self._changes.clear()
