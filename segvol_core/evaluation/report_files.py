"""Files of a report: whether they can be written, before minutes are spent on what is in them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from segvol_core.errors import SegVolError


def check_report(path: Path, *, overwrite: bool = False) -> None:
    """Make sure that a report can be written there.

    Raises
    ------
    SegVolError
        If the folder is missing or not writable, the path is a folder, or there is a file already
        that is not to be overwritten.
    """
    if path.is_dir():
        raise SegVolError(f"{path} is a folder, not a file.")
    if path.exists() and not overwrite:
        raise SegVolError(f"{path} exists already; --overwrite replaces it.")
    if not path.absolute().parent.is_dir():
        raise SegVolError(f"There is no folder {path.absolute().parent}.")
    if not os.access(path.absolute().parent, os.W_OK):
        raise SegVolError(f"The folder {path.absolute().parent} cannot be written to.")


def check_folder(folder: Path, names: Sequence[str], *, overwrite: bool = False) -> None:
    """Make sure that files of these names can be written into a folder, which may be a new one.

    Raises
    ------
    SegVolError
        As :func:`check_report`, or if there is a file of the folder's name.
    """
    if not folder.exists():
        check_report(folder)
        return
    if not folder.is_dir():
        raise SegVolError(f"{folder} is a file, not a folder.")
    for name in names:
        check_report(folder / name, overwrite=overwrite)
