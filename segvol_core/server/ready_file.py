"""Tell whoever started the server that it serves, or why it does not."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from segvol_core import __version__
from segvol_core.errors import SegVolError
from segvol_core.server.logs import logs_to_file
from segvol_core.whole_files import write_whole

_log = logging.getLogger(__name__)


@contextmanager
def reported_start(path: Path | None) -> Iterator[Callable[[str], None]]:
    """Yield what to call with the server's URL once it serves.

    The file then has ``{"url", "pid", "version"}``. If an exception leaves the block before, the
    file has ``{"error"}`` with a sentence, and the exception goes on.

    Parameters
    ----------
    path
        File to write; None for none.
    """
    told = False

    def tell(url: str) -> None:
        nonlocal told
        told = True
        if path is not None:
            write_whole(path, json.dumps({"url": url, "pid": os.getpid(), "version": __version__}))

    try:
        yield tell
    except BaseException as error:
        if logs_to_file():
            # Else it would be on stderr twice: the command prints it there.
            _log.error("ended: %s", _sentence(error))
        if path is not None and not told:
            write_whole(path, json.dumps({"error": _sentence(error)}))
        raise


def _sentence(error: BaseException) -> str:
    if isinstance(error, SegVolError):
        return str(error)
    if isinstance(error, ImportError):
        return f"The packages of the server are missing or damaged ({error})."
    if isinstance(error, KeyboardInterrupt):
        return "The start was cancelled."
    return f"A fault of the program ({type(error).__name__}: {error})."
