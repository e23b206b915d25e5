"""A training on disk, from which it goes on as if it had never been interrupted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from segvol_core.checkpoint_file import read_checkpoint_file
from segvol_core.errors import SegVolError, WeightsError
from segvol_core.training.state import TrainingState
from segvol_core.whole_files import written_whole

NAME = "checkpoint.pt"
_FORMAT = 3


class CheckpointError(SegVolError):
    """A checkpoint that cannot be written, read, or gone on from."""


@dataclass(frozen=True)
class BestYet:
    """What validation has found so far.

    Attributes
    ----------
    dice
        Best mean Dice; below 0 before the first look.
    looks_since
        Looks since the best one.
    at_start
        Mean Dice of the weights that training began from, which is none of the looks; None where
        it was not measured.
    """

    dice: float = -1.0
    looks_since: int = 0
    at_start: float | None = None

    def after(self, dice: float) -> BestYet:
        """What is known after another look."""
        if dice > self.dice:
            return replace(self, dice=dice, looks_since=0)
        return replace(self, looks_since=self.looks_since + 1)


def save_checkpoint(
    folder: Path, state: TrainingState[Any], best: BestYet, circumstances: Mapping[str, Any]
) -> None:
    """Write the checkpoint of a training, whole or not at all.

    Parameters
    ----------
    folder
        Of the training's output.
    circumstances
        Plain values that must be the same for the training to go on.

    Raises
    ------
    CheckpointError
        If it cannot be written; the one before is still there then.
    """
    path = folder / NAME
    values = {
        "format": _FORMAT,
        "circumstances": dict(circumstances),
        "best": asdict(best),
        "state": state.state_dict(),
    }
    try:
        with written_whole(path) as unfinished:
            torch.save(values, unfinished)
    except (OSError, RuntimeError) as error:
        raise CheckpointError(f"{path} cannot be written: {error}") from error


def find_checkpoint(folder: Path) -> Path:
    """File of the checkpoint of a training.

    Raises
    ------
    CheckpointError
        If there is none.
    """
    path = folder / NAME
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint in {folder} to resume from.")
    return path


def load_checkpoint(
    folder: Path, state: TrainingState[Any], circumstances: Mapping[str, Any]
) -> BestYet:
    """Bring a training to where it was when its checkpoint was written.

    Raises
    ------
    CheckpointError
        If there is none, it is damaged, or settings or data have changed since; the message says
        which.
    """
    path = find_checkpoint(folder)
    try:
        values = read_checkpoint_file(path).contents
        if values.get("format") != _FORMAT:
            raise CheckpointError(f"{path} is a checkpoint of another version of this program.")
        before: Any = values["circumstances"]
        changed = [name for name in circumstances if before.get(name) != circumstances[name]]
        if changed:
            raise CheckpointError(
                f"The training in {folder} cannot go on as it was: {', '.join(sorted(changed))} "
                "changed since. Start another one from its weights, in another folder."
            )
        saved: Any = values["state"]
        best: Any = values["best"]
        state.load_state_dict(saved)
        return BestYet(**best)
    except (
        WeightsError, KeyError, TypeError, ValueError, AttributeError, RuntimeError,
    ) as error:  # fmt: skip
        raise CheckpointError(f"{path} cannot be resumed from: {error}") from error
