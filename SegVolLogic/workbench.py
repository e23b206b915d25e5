"""What is done to the chosen segmentation, and undone: prompts stored, masks written, segments.

Nothing here computes a mask or waits for one; `SegVolLogic.controller` does that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from segvol_core.organs import Organ
from segvol_core.prompts import Prompts
from SegVolLogic.chosen import Chosen
from SegVolLogic.engine import EngineStage
from SegVolLogic.errors import SceneError
from SegVolLogic.events_of_node import told_once
from SegVolLogic.history import History, Step
from SegVolLogic.history_steps import redo_step, undo_step
from SegVolLogic.previews import Previews
from SegVolLogic.segment_choice import is_unused, segment_for
from SegVolLogic.segment_grid import grid_for
from SegVolLogic.segment_tags import store_prompts
from SegVolLogic.segment_writer import Overlap, empty_segment, write_segment
from SegVolLogic.segments import (
    add_segment,
    describe,
    is_unnamed,
    mark_in_progress,
    remove_segment,
)
from SegVolLogic.states import Options
from SegVolLogic.step_recording import segment_changes, segment_records
from SegVolLogic.surface_keeper import SurfaceKeeper
from SegVolLogic.volume_node import volume_of
from SegVolLogic.voxel_change import ExtentMask, VoxelChange
from SegVolLogic.words import tr as _


class Workbench:
    """Everything that changes segments, each change a step that can be taken back.

    Attributes
    ----------
    chosen
        What is worked on.
    history
        Of the segmentation that is worked on; another segmentation begins a new one.
    """

    def __init__(self, scene: Any) -> None:
        self.chosen = Chosen(scene)
        self.history = History()
        self._surfaces = SurfaceKeeper()
        self._previews = Previews()

    def choose_segmentation(self, node: Any) -> None:
        """Work on another segmentation; what was done cannot be undone then.

        Raises
        ------
        SceneError
            If SegVol cannot write into it; the one before stays chosen then.
        """
        before = self.chosen.segmentation_node if self.chosen.segmentation_present() else None
        self.chosen.choose_segmentation(node)
        if before is not None:
            self._previews.take_all_out(before)
            with suppress(SceneError):
                while not self._surfaces.up_to_date:
                    self._surfaces.catch_up(before)
        self._forget_segmentation()

    def look(self) -> set[str]:
        """Notice what others removed.

        Returns
        -------
        IDs of segments that are gone.
        """
        gone = self.chosen.look()
        if self.chosen.segmentation_node is None:
            self._forget_segmentation()
        for segment_id in gone:
            self.history.forget_segment(segment_id)
            self._previews.forget(segment_id)
        return gone

    # Prompts

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
        node = self.chosen.needed_segmentation()
        with self._step(label):
            segment_id = self.chosen.segment_id
            if segment_id is None:
                with told_once(node):
                    segment_id = add_segment(node)
                    _store(node, segment_id, prompts, organ)
            else:
                _store(node, segment_id, prompts, organ)
            self.chosen.segment_id = segment_id
        return segment_id

    def add_organs(self, organs: Sequence[Organ]) -> dict[str, Prompts]:
        """Have a segment with the prompt of its name for each organ: an earlier one, or a new one.

        Returns
        -------
        Prompts by segment ID.

        Raises
        ------
        SceneError
            If the segmentation cannot be written into.
        """
        node = self.chosen.needed_segmentation()
        wanted: dict[str, Prompts] = {}
        first, *others = organs
        with self._step(_("segment by name")):
            # It may take a segment that is there: see `told_once`.
            self._add_organ(node, first, wanted)
            with told_once(node):
                for organ in others:
                    self._add_organ(node, organ, wanted)
        return wanted

    def _add_organ(self, node: Any, organ: Organ, wanted: dict[str, Prompts]) -> None:
        prompts = Prompts(text=organ.name)
        segment_id = segment_for(node, prompts, self.chosen.segment_id)
        _store(node, segment_id, prompts, organ)
        wanted[segment_id] = prompts
        self.chosen.segment_id = segment_id

    def name_segment(self, organ: Organ) -> None:
        """Give the segment being worked on the name, colour and terminology of an organ.

        Raises
        ------
        SceneError
            If there is no segment.
        """
        segment_id = self.chosen.needed_segment()
        with self._step(_("name")):
            describe(self.chosen.segmentation_node, segment_id, organ)

    # Masks

    def write_result(
        self, segment_id: str, mask: ExtentMask, stage: EngineStage, options: Options
    ) -> float:
        """Put a mask into a segment; a coarse one only until the final one is there.

        Writing takes up to 0.3 s in a large volume.

        Returns
        -------
        Volume of the mask in millilitres.

        Raises
        ------
        SceneError
            If the segmentation cannot be written into.
        """
        with told_once(self.chosen.segmentation_node):
            return self._write_result(segment_id, mask, stage, options)

    def _write_result(
        self, segment_id: str, mask: ExtentMask, stage: EngineStage, options: Options
    ) -> float:
        node = self.chosen.segmentation_node
        grid = grid_for(node, self.chosen.volume_node)
        volume = volume_of(self.chosen.volume_node)
        ml = int(np.count_nonzero(mask.voxels)) * volume.voxel_ml
        self.drop_preview(segment_id)
        coarse = stage is EngineStage.COARSE
        overlap = options.overlap
        if coarse and overlap is Overlap.OVERWRITE:
            overlap = Overlap.ALLOW
        if not coarse:
            self._surfaces.remember(node, [segment_id])
        changes = write_segment(
            node,
            segment_id,
            grid,
            mask,
            overlap=overlap,
            area=options.area,
            volume=volume,
        )
        if coarse:
            self._previews.add(segment_id, changes)
            return ml
        if not self.history.attach(changes, segment_id):
            current = self.chosen.segment_id
            self.history.add(Step("result", current, current, voxels=changes))
        mark_in_progress(node, segment_id)
        self._surfaces.outdate(node, {change.segment_id for change in changes})
        return ml

    def drop_preview(self, segment_id: str) -> None:
        """Take a coarse mask out of a segment again."""
        if self.chosen.segmentation_node is not None:
            self._previews.take_out(self.chosen.segmentation_node, segment_id)

    def drop_previews(self) -> None:
        """Take all coarse masks back."""
        if self.chosen.segmentation_present():
            self._previews.take_all_out(self.chosen.segmentation_node)
        self._previews.forget_all()

    @property
    def surfaces_up_to_date(self) -> bool:
        """Whether the surfaces, if they are shown, are those of the voxels."""
        return self._surfaces.up_to_date

    def update_a_surface(self) -> None:
        """Make the surface of one segment whose voxels have changed, if surfaces are shown.

        Slicer takes 0.3 s for that of a liver.

        Raises
        ------
        SceneError
            If Slicer cannot make it.
        """
        if self.chosen.segmentation_present():
            self._surfaces.catch_up(self.chosen.segmentation_node, not_yet=self._previews)

    # Segments

    def clear(self) -> None:
        """Take prompts and voxels from the segment being worked on.

        Raises
        ------
        SceneError
            If there is no segment, or it cannot be written into.
        """
        segment_id = self.chosen.needed_segment()
        node = self.chosen.segmentation_node
        self.drop_preview(segment_id)
        self._surfaces.remember(node, [segment_id])
        with self._step(_("clear")) as voxels:
            voxels.extend(empty_segment(node, segment_id))
            store_prompts(node, segment_id, None)
        self._surfaces.outdate(node, [segment_id])

    def next_segment(self) -> str:
        """Work on an empty segment: a new one, unless the present one is empty.

        Raises
        ------
        SceneError
            If the segmentation cannot be written into, or no volume is chosen.
        """
        node = self.chosen.needed_segmentation()
        current = self.chosen.segment_id
        if current is not None and is_unused(node, current):
            return current
        with self._step(_("next segment")):
            added = self.chosen.segment_id = add_segment(node)
        return added

    def remove_segment(self, segment_id: str) -> None:
        """Remove a segment with its prompts and voxels.

        Raises
        ------
        SceneError
            If there is no such segment.
        """
        node = self.chosen.segmentation_node
        self.drop_preview(segment_id)
        with self._step(_("remove segment")) as voxels:
            voxels.extend(empty_segment(node, segment_id))
            remove_segment(node, segment_id)
            if self.chosen.segment_id == segment_id:
                self.chosen.segment_id = None

    # Steps

    def undo(self) -> Step | None:
        """Take the last step back, prompts and voxels together; None if there is none.

        Raises
        ------
        SceneError
            If the segmentation cannot be written into; the step is kept then.
        """
        step = self.history.undo(self.chosen.segment_id)
        if step is None:
            return None
        try:
            self._change(step, undo_step)
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
        step = self.history.redo(self.chosen.segment_id)
        if step is None:
            return None
        try:
            self._change(step, redo_step)
        except SceneError:
            self.history.undo(step.current_after)
            raise
        self._finish(step, step.current_after)
        return step

    def _change(self, step: Step, change: Callable[[Any, Step], None]) -> None:
        for segment_id in step.segment_ids:
            self.drop_preview(segment_id)
        node = self.chosen.segmentation_node
        self._surfaces.remember(node, step.segment_ids)
        change(node, step)

    def _finish(self, step: Step, current: str | None) -> None:
        self.chosen.note_segments()
        self.chosen.segment_id = current if self.chosen.segment_exists(current) else None
        changed = {change.segment_id for change in step.voxels}
        self._surfaces.outdate(self.chosen.segmentation_node, changed)

    def _forget_segmentation(self) -> None:
        self._previews.forget_all()
        self.history.clear()
        self._surfaces.forget()

    @contextmanager
    def _step(self, label: str) -> Iterator[list[VoxelChange]]:
        """Remember as one step what is done within; the changes of voxels are to be listed."""
        node, current = self.chosen.segmentation_node, self.chosen.segment_id
        before = segment_records(node)
        voxels: list[VoxelChange] = []
        yield voxels
        changes = segment_changes(before, segment_records(node))
        self.chosen.note_segments()
        if changes or voxels:
            step = Step(label, current, self.chosen.segment_id, changes, tuple(voxels))
            self.history.add(step)


def _store(node: Any, segment_id: str, prompts: Prompts | None, organ: Organ | None) -> None:
    """Store the prompts of a segment, and name it by an organ unless it has a name."""
    if organ is not None and is_unnamed(node, segment_id):
        describe(node, segment_id, organ)
    store_prompts(node, segment_id, prompts)
