"""Files that are there whole or not at all, whoever reads or ends the program meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from segvol_core.errors import SegVolError


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield a place beside a file's, for what is to become that file.

    It is moved there when the block ends. If the block fails, nothing is left of it, and a file
    that was there stays as it is.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        with suppress(FileNotFoundError, NotADirectoryError):
            unfinished.unlink()


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a small file.

    Parameters
    ----------
    content
        Text is written as UTF-8.

    Raises
    ------
    SegVolError
        If the disk refuses; a file that was there stays as it is then.
    """
    try:
        with written_whole(path) as unfinished:
            unfinished.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    except OSError as error:
        raise SegVolError(f"{path} cannot be written: {error.strerror or error}.") from error
