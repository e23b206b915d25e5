"""A process that removes Ray's folder when the process that started Ray has ended, however it did.

`python -m segvol_core.distributed.folder_guard FOLDER`, with a pipe from that process as input.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_GRACE_SECONDS = 10.0
"""Most of Ray ends by itself within five seconds; its agents take a minute."""
_POLL_SECONDS = 0.25


def main() -> None:
    """Wait for the end of the input, then for that of whoever writes into the folder."""
    folder = Path(sys.argv[1])
    sys.stdin.buffer.read()
    deadline = time.monotonic() + _GRACE_SECONDS
    while folder.exists() and any(_users(folder)) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    for pid in _users(folder):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    while folder.exists():
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(_POLL_SECONDS)


def _users(folder: Path) -> Iterator[int]:
    """Processes but the one that waits for this, with a file open in a folder.

    None where there is no `/proc`.
    """
    others = (each for each in Path("/proc").glob("[0-9]*") if int(each.name) != os.getppid())
    for process in others:
        with contextlib.suppress(OSError):
            if any(_is_in(folder, opened) for opened in (process / "fd").iterdir()):
                yield int(process.name)


def _is_in(folder: Path, opened: Path) -> bool:
    with contextlib.suppress(OSError):
        return str(opened.readlink()).startswith(f"{folder}/")
    return False


if __name__ == "__main__":
    main()
