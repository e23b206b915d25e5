"""Segments being computed: their masks go into the scene as they come."""

from __future__ import annotations

from segvol_core.errors import SegVolError
from SegVolLogic.announcements import Announcements
from SegVolLogic.engine import EngineStage, EngineUpdate
from SegVolLogic.events import ResultWritten
from SegVolLogic.labelmap_layers import segment_of
from SegVolLogic.requests import Requests
from SegVolLogic.segments import is_unnamed
from SegVolLogic.states import Options
from SegVolLogic.voxel_change import ExtentMask
from SegVolLogic.workbench import Workbench


class Results:
    """Takes what the engine answers into the scene, and what is not wanted any more out again.

    Parameters
    ----------
    requests
        What is waited for.
    bench
        Where masks go.
    announcements
        Told of masks that were written, and of failures.
    """

    def __init__(self, requests: Requests, bench: Workbench, announcements: Announcements) -> None:
        self._requests = requests
        self._bench = bench
        self._announcements = announcements
        self._names: dict[str, tuple[tuple[str, float], ...]] = {}

    def take(self, update: EngineUpdate, options: Options) -> bool:
        """Take one update into the scene, unless it answers what nobody waits for any more.

        Returns
        -------
        Whether it had a mask for the scene, which takes time.
        """
        if update.stage is EngineStage.NAMED:
            self._names[update.segment_id] = update.names
            return False
        if not self._requests.is_current(update):
            return False
        if update.stage is EngineStage.FAILED:
            self._failed(update.segment_id, str(update.error or update.message))
            return False
        if update.mask is not None:
            self._write(update.segment_id, update.mask, update.stage, options)
        if update.message:
            self._announcements.say(f"{self._name(update.segment_id)}: {update.message}")
        return update.mask is not None

    def forget(self, segment_id: str) -> None:
        """Wait for a segment no longer, and take its coarse mask back."""
        self._names.pop(segment_id, None)
        self._requests.forget(segment_id)
        self._bench.drop_preview(segment_id)

    def names_for(self, segment_id: str | None) -> tuple[tuple[str, float], ...]:
        """Names that fit the mask of a segment, with probabilities, unless it has a name."""
        chosen = self._bench.chosen
        if segment_id not in self._names or not chosen.segment_exists(segment_id):
            return ()
        unnamed = is_unnamed(chosen.segmentation_node, segment_id)
        return self._names[segment_id] if unnamed else ()

    def forget_names(self, segment_id: str) -> None:
        """Forget what fitted the mask that a segment had."""
        self._names.pop(segment_id, None)

    def forget_all(self) -> None:
        """Wait for nothing any more."""
        for segment_id in self._requests.running:
            self.forget(segment_id)

    def _write(
        self, segment_id: str, mask: ExtentMask, stage: EngineStage, options: Options
    ) -> None:
        if not self._bench.chosen.segment_exists(segment_id):
            return
        if stage is EngineStage.COARSE and not options.show_coarse:
            return
        try:
            ml = self._bench.write_result(segment_id, mask, stage, options)
        except SegVolError as error:
            self._failed(segment_id, str(error))
            return
        self._announcements.tell(ResultWritten(segment_id, stage, ml))

    def _name(self, segment_id: str) -> str:
        """What the user calls the segment: several may have been asked for."""
        chosen = self._bench.chosen
        if not chosen.segment_exists(segment_id):
            return segment_id
        return str(segment_of(chosen.segmentation_node, segment_id).GetName())

    def _failed(self, segment_id: str, message: str) -> None:
        self.forget(segment_id)
        self._announcements.complain(message)
