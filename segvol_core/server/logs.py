"""The server's log: to a file that does not grow for ever, or to stderr."""

from __future__ import annotations

import logging
import logging.handlers
from pathlib import Path

from segvol_core.errors import SegVolError

_FILE_BYTES = 1024**2
_OLD_FILES = 3
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def start_log(path: Path | None) -> None:
    """Send what this package and uvicorn log to a file, or to stderr.

    Raises
    ------
    SegVolError
        If the file cannot be written.
    """
    handler: logging.Handler = logging.StreamHandler()
    if path is not None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handler = logging.handlers.RotatingFileHandler(
                path, maxBytes=_FILE_BYTES, backupCount=_OLD_FILES, encoding="utf-8"
            )
        except OSError as error:
            raise SegVolError(f"The log {path} cannot be written: {error.strerror}.") from error
    handler.setFormatter(logging.Formatter(_FORMAT))
    for name, level in (("segvol_core", logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level)
        logger.propagate = False


def logs_to_file() -> bool:
    """Whether the log goes to a file, which then says what stderr says else."""
    handlers = logging.getLogger("segvol_core").handlers
    return any(isinstance(handler, logging.FileHandler) for handler in handlers)
