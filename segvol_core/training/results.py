"""What a run leaves: weights, checkpoints and a log, and what validation says on the way."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from segvol_core.training import checkpoint
from segvol_core.training.checkpoint import BestYet, save_checkpoint
from segvol_core.training.history import History
from segvol_core.training.loop import Progress
from segvol_core.training.run_settings import RunSettings, SettingsError
from segvol_core.training.state import TrainingState
from segvol_core.training.team import Member, told_by_the_leader
from segvol_core.training.validation import Validation

BEST, LAST, ENCODER = "best.safetensors", "last.safetensors", "encoder.safetensors"
RESULTS = (checkpoint.NAME, BEST, LAST, ENCODER)

_LONGEST_SILENCE = 30.0
"""Seconds of steps, after which people want to see that a training goes on."""

_log = logging.getLogger("segvol.training")


@dataclass(frozen=True)
class Weights:
    """How the weights of a run are written.

    Attributes
    ----------
    save
        Writes the averaged weights, with text about them, into a file.
    last, best
        Names of the file at the end, and of that of the best look, if there is any.
    """

    save: Callable[[Path, dict[str, str]], None]
    last: str
    best: str | None = None

    def written(self, folder: Path) -> Path | None:
        """The best weights that are there."""
        names = [name for name in (self.best, self.last) if name is not None]
        return next((folder / name for name in names if (folder / name).is_file()), None)


def begin_folder(folder: Path) -> None:
    """Make the folder of a run, without the results of an earlier one.

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
    """Validation, log and files of a run; only the leading process has them."""

    def __init__(
        self,
        settings: RunSettings,
        state: TrainingState[Any],
        weights: Weights,
        circumstances: Mapping[str, Any],
        member: Member,
        *,
        validation: Validation | None,
    ) -> None:
        self._settings, self._state, self._weights = settings, state, weights
        self._circumstances, self._member, self._validation = circumstances, member, validation
        self._history = History(settings.output, state.step) if member.leads else None
        self._said_at = -math.inf

    def before_first_step(self, best: BestYet) -> BestYet:
        """Look how good the weights are that training begins from, where that is wanted."""
        if self._validation is None or not self._validation.at_start:
            return best
        dice, kinds = told_by_the_leader(self._member, self._validation.look)
        if self._history is not None:
            self._history.note_start(dice, kinds)
            _log.info("  0 %% | step 0 | validation Dice %.3f", dice)
        return replace(best, at_start=dice)

    def after_step(self, progress: Progress, best: BestYet) -> BestYet:
        """Look, log and save where it is time; returns what validation knows now."""
        dice, kinds = None, None
        last = progress.fraction >= 1
        validation = self._validation
        if validation is not None and (progress.step % validation.every_steps == 0 or last):
            dice, kinds = told_by_the_leader(self._member, validation.look)
            best = best.after(dice)
            if best.looks_since == 0 and self._weights.best is not None:
                self._save_weights(self._weights.best, best)
        if self._history is not None:
            self._history.note(progress, dice, kinds)
            silent = progress.seconds - self._said_at
            if dice is not None or progress.step % 20 == 0 or last or silent >= _LONGEST_SILENCE:
                self._said_at = progress.seconds
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
        self._save_weights(self._weights.last, best)

    def close(self) -> None:
        """Finish the log."""
        if self._history is not None:
            self._history.close()

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
        if best.at_start is not None:
            metadata["validation_dice_at_start"] = f"{best.at_start:.4f}"
        self._weights.save(self._settings.output / name, metadata)
