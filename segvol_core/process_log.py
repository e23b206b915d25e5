"""Log files of child processes: a new one per start, and the line that says why one failed.

Names carry the time and this process's id, so that two Slicers never write to one file. Of every
kind, the newest `KEPT` starts are kept.
"""

from __future__ import annotations

import contextlib
import os
import re
from datetime import datetime
from pathlib import Path

KEPT = 5
"""Starts of which the logs are kept."""

_START = re.compile(r"\w+-\d{8}-\d{6}\.\d{6}-\d+")
_TAIL_BYTES = 1 << 16
_LONGEST_LINE = 300
_ERROR_LINE = re.compile(
    r"(\w+\.)*\w*(Error|Exception|Interrupt|NotFound)(:|$)"  # the last line of a traceback
    r"|Fatal Python error: "  # faulthandler's first
    r"|.*\b(ERROR|CRITICAL)\b"
    r"|\S+: error: "
    r"|error: ",
)


def new_log_file(folder: Path, kind: str) -> Path:
    """Path of a log file for one start, after dropping the oldest ones of its kind.

    Raises
    ------
    OSError
        If the folder cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # A start has several files: the log, what it was rotated into, and what is written beside it.
    names = {path: _START.match(path.name) for path in folder.glob(f"{kind}-*")}
    starts = sorted({match[0] for match in names.values() if match})
    for path, match in names.items():
        if match and match[0] in starts[: -(KEPT - 1)]:
            with contextlib.suppress(OSError):  # on Windows: still open in another Slicer
                path.unlink()
    now = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S.%f")
    return folder / f"{kind}-{now}-{os.getpid()}.log"


def tail(path: Path) -> list[str]:
    """Last lines of a log that may not exist (yet), without the blank ones."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    return [line.strip() for line in text.splitlines() if line.strip()]


def last_error_line(path: Path) -> str | None:
    """Last line of a log that tells of an error, cut to a readable length."""
    for line in reversed(tail(path)):
        if _ERROR_LINE.match(line):
            return line if len(line) <= _LONGEST_LINE else line[:_LONGEST_LINE] + " …"
    return None
