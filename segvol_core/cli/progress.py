"""Progress bars on stderr, on a terminal only, gone when the work is done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)


@contextmanager
def progress_bars(*, of_bytes: bool = False) -> Iterator[Progress]:
    """Yield where bars are shown; off a terminal they are counted and not drawn.

    Parameters
    ----------
    of_bytes
        Show megabytes and their speed in place of percents.
    """
    amount: list[ProgressColumn] = [TaskProgressColumn()]
    if of_bytes:
        amount = [DownloadColumn(), TransferSpeedColumn()]
    columns = [TextColumn("{task.description}"), BarColumn(), *amount, TimeRemainingColumn()]
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        yield progress


@contextmanager
def step(progress: Progress, description: str) -> Iterator[None]:
    """Show that something of unknown length is going on."""
    task = progress.add_task(description, total=None)
    try:
        yield
    finally:
        progress.remove_task(task)
