"""The log of a training as tests read it, and a way to stop one on its way."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segvol_core.training import results
from segvol_core.training.loop import Progress


def log(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def figures(folder: Path) -> list[tuple[str, ...]]:
    """The log without the clock."""
    return [tuple(v for k, v in line.items() if k != "minutes") for line in log(folder)]


def stop_after(step: int, monkeypatch: pytest.MonkeyPatch, how: Callable[[], object]) -> None:
    """Let something happen during a training, after so many steps."""
    note = results.History.note

    def noted(self: Any, progress: Progress, *more: Any) -> None:
        note(self, progress, *more)
        if progress.step == step:
            how()

    monkeypatch.setattr(results.History, "note", noted)
