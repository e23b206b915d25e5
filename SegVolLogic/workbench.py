"""The volume, the segmentation and the segment being worked on, with undo: everything in the scene.

Nothing here computes a mask or waits for one; `SegVolLogic.controller` does that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from segvol_core.organs import Organ
from segvol_core.prompts import Prompts
from SegVolLogic.engine import EngineStage
from SegVolLogic.errors import SceneError
from SegVolLogic.history import History, SegmentChange, Step
from SegVolLogic.history_steps import redo_step, undo_step
from SegVolLogic.islands import largest_island
from SegVolLogic.labelmap_layers import segment_ids, segment_voxels
from SegVolLogic.segment_grid import checked_segmentation, grid_for
from SegVolLogic.segment_tags import store_prompts, stored_prompts
from SegVolLogic.segment_writer import Overlap, empty_segment, take_back, write_segment
from SegVolLogic.segments import (
    SegmentRecord,
    add_segment,
    add_segmentation,
    describe,
    is_unnamed,
    mark_in_progress,
    record_of,
    remove_segment,
)
from SegVolLogic.states import Options
from SegVolLogic.surfaces import update_surfaces
from SegVolLogic.volume_node import volume_of
from SegVolLogic.voxel_change import ExtentMask, VoxelChange


class Workbench:
    """What is being worked on in a scene.

    Attributes
    ----------
    volume_node, segmentation_node
        None before they are chosen.
    segment_id
        The segment that prompts go to; None before the first prompt.
    history
        Of the segmentation that is worked on; another segmentation begins a new one.
    """

    def __init__(self, scene: Any) -> None:
        self.scene = scene
        self.volume_node: Any = None
        self.segmentation_node: Any = None
        self.segment_id: str | None = None
        self.history = History()
        self._previews: dict[str, tuple[VoxelChange, ...]] = {}
        self._known: set[str] = set()

    def choose_segmentation(self, node: Any) -> None:
        """Work on another segmentation; what was done cannot be undone then.

        Prompts go to its last segment if that has some already. A segment that was made otherwise
        is never replaced by a mere click: it has to be selected for that.

        Raises
        ------
        SceneError
            If SegVol cannot write into it; the one before stays chosen then.
        """
        if node is not None:
            checked_segmentation(node)
        self.drop_previews()
        self.segmentation_node = node
        self.history.clear()
        ids = [] if node is None else segment_ids(node)
        self._known = set(ids)
        last = ids[-1] if ids else None
        has_prompts = last is not None and bool(record_of(node, last).prompts_tag)
        self.segment_id = last if has_prompts else None

    def check_fit(self) -> None:
        """Check that results on the volume can be written into the segmentation, if there is one.

        Raises
        ------
        SceneError
            If not, with what to do.
        """
        if self.segmentation_node is not None:
            grid_for(self.segmentation_node, self.volume_node)

    def segment_exists(self, segment_id: str | None) -> bool:
        """Whether the segmentation has the segment."""
        node = self.segmentation_node
        return node is not None and segment_id in segment_ids(node)

    def prompts(self) -> Prompts | None:
        """Prompts of the segment being worked on, in world RAS millimetres.

        Raises
        ------
        SceneError
            If they cannot be read.
        """
        if self.segment_id is None or not self.segment_exists(self.segment_id):
            return None
        return stored_prompts(self.segmentation_node, self.segment_id)

    def look(self) -> set[str]:
        """Notice what others removed.

        Returns
        -------
        IDs of segments that are gone.
        """
        node = self.segmentation_node
        if node is not None and not self.scene.IsNodePresent(node):
            gone = self._known
            self._previews.clear()
            self.segmentation_node = None
            self.segment_id = None
            self.history.clear()
            self._known = set()
            return gone
        now = set() if node is None else set(segment_ids(node))
        gone = self._known - now
        for segment_id in gone:
            self.history.forget_segment(segment_id)
            self._previews.pop(segment_id, None)
        if self.segment_id in gone:
            self.segment_id = None
        self._known = now
        return gone

    def set_prompts(self, prompts: Prompts | None, label: str, organ: Organ | None = None) -> str:
        """Make these the prompts of the segment being worked on, which is added if there is none.

        An organ names the segment, unless someone has given it a name.

        Returns
        -------
        ID of the segment.

        Raises
        ------
        SceneError
            If the segmentation cannot be written into; nothing has changed then.
        """
        self._need_segmentation()
        node = self.segmentation_node
        with self._step(label):
            segment_id = self.segment_id
            if segment_id is None:
                segment_id = add_segment(node)
            if organ is not None and is_unnamed(node, segment_id):
                describe(node, segment_id, organ)
            store_prompts(node, segment_id, prompts)
            self.segment_id = segment_id
        return segment_id

    def add_organs(self, organs: Iterable[Organ]) -> dict[str, Prompts]:
        """Have a segment with the prompt of its name for each organ: an earlier one, or a new one.

        Returns
        -------
        Prompts by segment ID.

        Raises
        ------
        SceneError
            If the segmentation cannot be written into.
        """
        self._need_segmentation()
        node = self.segmentation_node
        wanted: dict[str, Prompts] = {}
        with self._step("segment by name"):
            for organ in organs:
                prompts = Prompts(text=organ.name)
                segment_id = self._segment_for(prompts)
                if is_unnamed(node, segment_id):
                    describe(node, segment_id, organ)
                store_prompts(node, segment_id, prompts)
                wanted[segment_id] = prompts
                self.segment_id = segment_id
        return wanted

    def write_result(
        self, segment_id: str, mask: ExtentMask, stage: EngineStage, options: Options
    ) -> None:
        """Put a mask into a segment; a coarse one only until the final one is there.

        Writing takes up to 0.3 s in a large volume, and the surfaces, if they are shown, longer.

        Raises
        ------
        SceneError
            If the segmentation cannot be written into.
        """
        node = self.segmentation_node
        grid = grid_for(node, self.volume_node)
        self.drop_preview(segment_id)
        coarse = stage is EngineStage.COARSE
        overlap = options.overlap
        if coarse and overlap is Overlap.OVERWRITE:
            overlap = Overlap.ALLOW
        if options.keep_largest and not coarse:
            mask = largest_island(mask)
        changes = write_segment(
            node,
            segment_id,
            grid,
            mask,
            overlap=overlap,
            area=options.area,
            volume=volume_of(self.volume_node),
        )
        if coarse:
            self._previews[segment_id] = changes
            return
        if not self.history.attach(changes, segment_id):
            current = self.segment_id
            self.history.add(Step("result", current, current, voxels=changes))
        mark_in_progress(node, segment_id)
        update_surfaces(node, {change.segment_id for change in changes})

    def drop_preview(self, segment_id: str) -> None:
        """Take a coarse mask out of a segment again."""
        changes = self._previews.pop(segment_id, ())
        if self.segment_exists(segment_id):
            take_back(self.segmentation_node, changes)

    def drop_previews(self) -> None:
        """Take all coarse masks back."""
        present = self.segmentation_node is not None
        if present and self.scene.IsNodePresent(self.segmentation_node):
            for segment_id in list(self._previews):
                self.drop_preview(segment_id)
        self._previews.clear()

    def clear(self) -> None:
        """Take prompts and voxels from the segment being worked on.

        Raises
        ------
        SceneError
            If there is no segment, or it cannot be written into.
        """
        segment_id = self._need_segment()
        self.drop_preview(segment_id)
        with self._step("clear") as voxels:
            voxels.extend(empty_segment(self.segmentation_node, segment_id))
            store_prompts(self.segmentation_node, segment_id, None)
        update_surfaces(self.segmentation_node, [segment_id])

    def next_segment(self) -> str:
        """Work on an empty segment: a new one, unless the present one is empty.

        Raises
        ------
        SceneError
            If the segmentation cannot be written into, or no volume is chosen.
        """
        self._need_segmentation()
        current = self.segment_id
        if current is not None and self._is_unused(current):
            return current
        with self._step("next segment"):
            added = self.segment_id = add_segment(self.segmentation_node)
        return added

    def remove_segment(self, segment_id: str) -> None:
        """Remove a segment with its prompts and voxels.

        Raises
        ------
        SceneError
            If there is no such segment.
        """
        self.drop_preview(segment_id)
        with self._step("remove segment") as voxels:
            voxels.extend(empty_segment(self.segmentation_node, segment_id))
            remove_segment(self.segmentation_node, segment_id)
            if self.segment_id == segment_id:
                self.segment_id = None

    def undo(self) -> Step | None:
        """Take the last step back, prompts and voxels together; None if there is none.

        Raises
        ------
        SceneError
            If the segmentation cannot be written into; the step is kept then.
        """
        step = self.history.undo(self.segment_id)
        if step is None:
            return None
        try:
            self._prepare(step)
            undo_step(self.segmentation_node, step)
        except SceneError:
            self.history.redo(step.current_before)
            raise
        self._finish(step, step.current_before)
        return step

    def redo(self) -> Step | None:
        """Do the last step again that was taken back; None if there is none.

        Raises
        ------
        SceneError
            As :meth:`undo`.
        """
        step = self.history.redo(self.segment_id)
        if step is None:
            return None
        try:
            self._prepare(step)
            redo_step(self.segmentation_node, step)
        except SceneError:
            self.history.undo(step.current_after)
            raise
        self._finish(step, step.current_after)
        return step

    def _prepare(self, step: Step) -> None:
        for segment_id in step.segment_ids:
            self.drop_preview(segment_id)

    def _finish(self, step: Step, current: str | None) -> None:
        self._known = set(segment_ids(self.segmentation_node))
        self.segment_id = current if current in self._known else None
        update_surfaces(
            self.segmentation_node,
            {change.segment_id for change in step.voxels} & self._known,
        )

    @contextmanager
    def _step(self, label: str) -> Iterator[list[VoxelChange]]:
        """Remember as one step what is done within; the changes of voxels are to be listed."""
        current, before = self.segment_id, self._records()
        voxels: list[VoxelChange] = []
        yield voxels
        after = self._records()
        self._known = set(after)
        changes = tuple(
            SegmentChange(before.get(key), after.get(key))
            for key in {**before, **after}
            if _differ(before.get(key), after.get(key))
        )
        if changes or voxels:
            self.history.add(Step(label, current, self.segment_id, changes, tuple(voxels)))

    def _records(self) -> Mapping[str, SegmentRecord]:
        node = self.segmentation_node
        return {segment_id: record_of(node, segment_id) for segment_id in segment_ids(node)}

    def _segment_for(self, prompts: Prompts) -> str:
        """Return a segment with these prompts, the current one if it is empty, or a new one."""
        node = self.segmentation_node
        for segment_id in segment_ids(node):
            with suppress(SceneError):  # Prompts that cannot be read are not these.
                if stored_prompts(node, segment_id) == prompts:
                    return segment_id
        current = self.segment_id
        if current is not None and self._is_unused(current):
            return current
        return add_segment(node)

    def _is_unused(self, segment_id: str) -> bool:
        node = self.segmentation_node
        record = record_of(node, segment_id)
        if not is_unnamed(node, segment_id) or record.prompts_tag:
            return False
        return segment_voxels(node, segment_id).mask().empty

    def _need_segmentation(self) -> None:
        """Make sure that there is a segmentation, and that results could be written into it."""
        if self.volume_node is None:
            raise SceneError("Choose a CT volume first.")
        if self.segmentation_node is None:
            self.segmentation_node = add_segmentation(self.scene, self.volume_node)
            self._known = set()
        self.check_fit()

    def _need_segment(self) -> str:
        if self.segment_id is None or not self.segment_exists(self.segment_id):
            raise SceneError("There is no segment yet: a prompt makes one.")
        return self.segment_id


def _differ(before: SegmentRecord | None, after: SegmentRecord | None) -> bool:
    if before is None or after is None:
        return before is not after
    same = (before.name, before.color, before.terminology, before.prompts_tag)
    return same != (after.name, after.color, after.terminology, after.prompts_tag)
