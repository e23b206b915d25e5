"""An installation beside the old one, put in its place by renaming, whatever interrupts it.

Beside ``NAME``, the folder in use, there are at times: ``NAME.new``, being installed and complete
once it has its marker; ``NAME.old``, what was in use, complete, in the moment of the swap;
``NAME.download``, what installers fetched; ``NAME.uv``, an installer of our own; ``….trash-…`` of
any of these, to be deleted; ``NAME.lock``. Only between two renamings is there no ``NAME``, and
`finish_interrupted_swap` then brings back one.
"""

from __future__ import annotations

import glob
import os
import secrets
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from segvol_core.errors import PackagesError
from segvol_core.packages.status import is_complete

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_RENAME_SECONDS = 3.0


def beside(folder: Path, suffix: str) -> Path:
    """A sibling of the folder."""
    return folder.with_name(f"{folder.name}.{suffix}")


@contextmanager
def only_installer(folder: Path, wait_seconds: float = 0.0) -> Iterator[int]:
    """Keep the folder to this process; the system lets go of it when the process ends.

    Parameters
    ----------
    folder
        The folder of private packages.
    wait_seconds
        How long to wait for another process that is at work there.

    Yields
    ------
    int
        Descriptor of the lock. A child process that inherits it keeps the folder locked too.

    Raises
    ------
    PackagesError
        If another process is at work there, or nothing can be written there.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(beside(folder, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise PackagesError(
            f"{folder.parent} cannot be written to ({error.strerror}). Name another folder in "
            "SEGVOL_HOME."
        ) from error
    try:
        give_up = time.monotonic() + wait_seconds
        while not _lock(lock):
            if time.monotonic() >= give_up:
                raise PackagesError(
                    f"Another installation is at work in {folder.parent}; let it end first."
                )
            time.sleep(0.05)
        yield lock
    finally:
        os.close(lock)


def _lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def swap_in(folder: Path) -> None:
    """Put the complete ``NAME.new`` in the place of the folder.

    Raises
    ------
    PackagesError
        If the folder in use cannot be moved, as on Windows while a process uses it. Then it stays.
    """
    new, old = beside(folder, "new"), beside(folder, "old")
    if folder.exists():
        _rename(folder, old)
    try:
        _rename(new, folder)
    except PackagesError:
        if old.exists():
            old.rename(folder)
        raise
    discard(old)


def finish_interrupted_swap(folder: Path) -> None:
    """Bring the folder back if a swap was interrupted; two renamings at most.

    Raises
    ------
    PackagesError
        If that cannot be done.
    """
    new, old = beside(folder, "new"), beside(folder, "old")
    if folder.exists():
        discard(old)
    elif is_complete(new):
        _rename(new, folder)
        discard(old)
    elif old.exists():
        _rename(old, folder)


def recover(folder: Path) -> None:
    """Bring the folder back if Slicer or the computer went down during a swap; takes milliseconds.

    For the next start of Slicer, before `segvol_core.packages.status.read_status`. Does nothing
    while an installation is at work, and where it cannot, a later installation will.
    """
    if folder.parent.is_dir():
        with suppress(PackagesError), only_installer(folder):
            finish_interrupted_swap(folder)


def installer_scratch(folder: Path) -> Path:
    """Where installers put what they need only while they run; pip unpacks everything there."""
    return beside(folder, "download") / "temporary"


def clear_leftovers(folder: Path, *, downloads: bool) -> None:
    """Delete what is unfinished or was replaced, and what was fetched if so asked."""
    discard(beside(folder, "new"))
    if downloads:
        discard(beside(folder, "download"))
    else:
        shutil.rmtree(installer_scratch(folder), ignore_errors=True)
    name = glob.escape(folder.name)
    for pattern in (f"{name}.trash-*", f"{name}.*.trash-*"):
        for trash in folder.parent.glob(pattern):
            shutil.rmtree(trash, ignore_errors=True)


def discard(folder: Path) -> None:
    """Rename what is to be deleted, if it is there, so that half of it is never taken for whole.

    Raises
    ------
    PackagesError
        If it is in use.
    """
    if folder.exists():
        _rename(folder, beside(folder, f"trash-{secrets.token_hex(4)}"))


def _rename(source: Path, target: Path) -> None:
    # On Windows a virus scanner holds new files for a moment.
    give_up = time.monotonic() + (_RENAME_SECONDS if sys.platform == "win32" else 0.0)
    while True:
        try:
            source.rename(target)
        except OSError as error:
            if time.monotonic() < give_up:
                time.sleep(0.1)
                continue
            raise PackagesError(
                f"{source} cannot be moved ({error.strerror}): perhaps it is in use. Stop the "
                "inference process, also that of other Slicer windows, and try again."
            ) from error
        return
