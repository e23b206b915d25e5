"""The log of a training: a CSV with a line per step, and TensorBoard where it is installed."""

from __future__ import annotations

import csv
import importlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segvol_core.errors import SegVolError
from segvol_core.training.loop import Progress

NAME = "log.csv"
KINDS = ("text", "click", "box")
_COLUMNS = ("step", "minutes", "learning_rate", "loss", "dice", *(f"dice_{kind}" for kind in KINDS))


class HistoryError(SegVolError):
    """A log that cannot be written or gone on with."""


class History:
    """Writes the log in a training's output folder.

    Parameters
    ----------
    folder
        Of the training's output.
    first_step
        Steps done before; lines of later ones, which are taken again, are dropped.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        self._path = folder / NAME
        try:
            kept = _lines_until(self._path, first_step) if first_step else []
            # Open until the training ends.
            self._file = self._path.open("w", newline="", encoding="utf-8")
        except (OSError, ValueError) as error:
            raise HistoryError(f"{self._path} cannot be written: {error}.") from error
        self._writer = csv.DictWriter(self._file, _COLUMNS)
        self._writer.writeheader()
        self._writer.writerows(kept)
        self._board = _tensorboard(folder, first_step)

    def note_start(self, dice: float, kinds: Mapping[str, float]) -> None:
        """Write what was measured before the first step."""
        self._write({"step": 0, "minutes": 0.0, **_dice_columns(dice, kinds)})
        if self._board is not None:
            self._board.add_scalar("dice", dice, 0)

    def note(
        self, progress: Progress, dice: float | None, kinds: Mapping[str, float] | None
    ) -> None:
        """Write the line of a step; mean Dice and that of each kind of prompt where measured."""
        line: dict[str, str | float] = {
            "step": progress.step,
            "minutes": round(progress.seconds / 60, 3),
            "learning_rate": progress.learning_rate,
            # All digits, so that two trainings can be told to be the same.
            "loss": repr(progress.loss),
        }
        if dice is not None:
            line |= _dice_columns(dice, kinds or {})
        self._write(line)
        if self._board is not None:
            for name in ("learning_rate", "loss", "dice"):
                if name in line:
                    self._board.add_scalar(name, float(line[name]), progress.step)
            for kind, value in progress.losses.items():
                self._board.add_scalar(f"losses/{kind.replace(':', '_')}", value, progress.step)

    def close(self) -> None:
        """Finish the log."""
        self._file.close()
        if self._board is not None:
            self._board.close()

    def _write(self, line: Mapping[str, str | float]) -> None:
        self._writer.writerow(line)
        self._file.flush()


def _dice_columns(dice: float, kinds: Mapping[str, float]) -> dict[str, str]:
    return {"dice": repr(dice), **{f"dice_{kind}": repr(value) for kind, value in kinds.items()}}


def _lines_until(path: Path, step: int) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    return [line for line in lines if int(line["step"]) <= step]


def _tensorboard(folder: Path, first_step: int) -> Any:
    if importlib.util.find_spec("tensorboard") is None:
        return None
    board = importlib.import_module("torch.utils.tensorboard")
    return board.SummaryWriter(str(folder / "tensorboard"), purge_step=first_step + 1)
