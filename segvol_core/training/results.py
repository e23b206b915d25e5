"""What a training leaves: weights, checkpoints and a log, and what validation says on the way."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from segvol_core.training import checkpoint
from segvol_core.training.cases import TrainingCase
from segvol_core.training.checkpoint import BestYet, save_checkpoint
from segvol_core.training.history import History
from segvol_core.training.loop import Progress
from segvol_core.training.settings import SettingsError, TrainingSettings
from segvol_core.training.state import TrainingState
from segvol_core.training.team import Member, told_by_the_leader
from segvol_core.training.validation import zoom_out_dice
from segvol_core.weights import save_model

BEST, LAST = "best.safetensors", "last.safetensors"
RESULTS = (checkpoint.NAME, BEST, LAST)

_log = logging.getLogger("segvol.training")


def begin_folder(folder: Path) -> None:
    """Make the folder of a training, without the results of an earlier one.

    Raises
    ------
    SettingsError
        If it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in RESULTS:
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise SettingsError(f"{folder} cannot be written to: {error}.") from error


class ResultWriter:
    """Validation, log and files of a training; only the leading process has them."""

    def __init__(
        self,
        settings: TrainingSettings,
        validation: Sequence[TrainingCase],
        state: TrainingState,
        circumstances: Mapping[str, Any],
        member: Member,
    ) -> None:
        self._settings, self._validation, self._state = settings, validation, state
        self._circumstances, self._member = circumstances, member
        self._history = History(settings.output, state.step) if member.leads else None

    def after_step(self, progress: Progress, best: BestYet) -> BestYet:
        """Look, log and save where it is time; returns what validation knows now."""
        dice, kinds = None, None
        every = self._settings.validation.every_steps
        last = progress.fraction >= 1
        if self._validation and (progress.step % every == 0 or last):
            dice, kinds = told_by_the_leader(self._member, self._look)
            best = best.after(dice)
            if best.looks_since == 0:
                self._save_weights(BEST, best)
        if self._history is not None:
            self._history.note(progress, dice, kinds)
            if dice is not None or progress.step % 20 == 0 or last:
                _log.info(
                    "%3.0f %% | step %d | %.1f min | loss %.4f%s",
                    100 * progress.fraction, progress.step, progress.seconds / 60, progress.loss,
                    "" if dice is None else f" | validation Dice {dice:.3f}",
                )  # fmt: skip
        if progress.step % self._settings.checkpoint_steps == 0:
            self._save_state(best)
        return best

    def finish(self, best: BestYet) -> None:
        """Write the last checkpoint and weights."""
        self._save_state(best)
        self._save_weights(LAST, best)

    def close(self) -> None:
        """Finish the log."""
        if self._history is not None:
            self._history.close()

    def _look(self) -> tuple[float, dict[str, float]]:
        found = zoom_out_dice(self._state.average, self._validation)
        kinds = {
            kind: float(np.mean(list(structures.values()))) if structures else 0.0
            for kind, structures in found.items()
        }
        return float(np.mean(list(kinds.values()))), kinds

    def _save_state(self, best: BestYet) -> None:
        if self._member.leads:
            save_checkpoint(self._settings.output, self._state, best, self._circumstances)

    def _save_weights(self, name: str, best: BestYet) -> None:
        if not self._member.leads:
            return
        start = self._settings.start
        metadata = {
            "name": self._settings.output.name,
            "seed": str(self._settings.seed),
            "steps": str(self._state.step),
            "training_minutes": f"{self._state.seconds / 60:.1f}",
            "start": "nothing" if start is None else Path(start).name,
        }
        if best.dice >= 0:
            metadata["best_validation_dice"] = f"{best.dice:.4f}"
        save_model(self._state.average, self._settings.output / name, metadata)
