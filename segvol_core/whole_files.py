"""Small files that are there whole or not at all, whoever reads or ends the program meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

from segvol_core.errors import SegVolError


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file beside its place and move it there.

    Parameters
    ----------
    content
        Text is written as UTF-8.

    Raises
    ------
    SegVolError
        If the disk refuses; a file that was there stays as it is then.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        unfinished.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
        unfinished.replace(path)
    except OSError as error:
        raise SegVolError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        unfinished.unlink(missing_ok=True)
