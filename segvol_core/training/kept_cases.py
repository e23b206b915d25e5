"""Prepared cases kept in a folder, so that the next run need not prepare them again."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from segvol_core.training.data.records import TrainingDataError
from segvol_core.whole_files import written_whole

Arrays = dict[str, Any]


def kept(folder: Path | None, name: str, make: Callable[[], Arrays]) -> Arrays:
    """What was made of a case, now or in an earlier run.

    Parameters
    ----------
    folder
        Where cases are kept; None keeps nothing.
    name
        Of the case.
    make
        Prepares it.

    Raises
    ------
    TrainingDataError
        If it cannot be kept.
    """
    if folder is None:
        return make()
    file = folder / f"{name}.pt"
    arrays = _read(file)
    if arrays is None:
        _write(file, make())
        arrays = _read(file)
    if arrays is None:
        raise TrainingDataError(f"{file} was written and cannot be read.")
    return arrays


def _read(file: Path) -> Arrays | None:
    """What a file keeps; None if it is not there, or damaged."""
    try:
        # Read from the file when used: full-sized cases of a large folder exceed the memory.
        arrays: Arrays = torch.load(file, weights_only=True, mmap=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError):
        return None
    return arrays


def _write(file: Path, arrays: Arrays) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(file) as unfinished:
            torch.save(arrays, unfinished)
    except (OSError, RuntimeError) as error:
        raise TrainingDataError(
            f"Prepared cases cannot be kept in {file.parent}: {error}. “cache” says where."
        ) from error
