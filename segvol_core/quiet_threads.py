"""Keeps what urllib3 says about our requests out of the application's log.

Slicer logs everything, from DEBUG on, and puts it into its window with Qt objects made in the
thread that logs: from a thread of ours that is a warning each time, and can be a crash. The
addresses of our requests have no place in its log file either.
"""

from __future__ import annotations

import logging
import threading

PREFIX = "SegVol"
"""What the names of our threads begin with."""

_LOGGERS = ("urllib3.connection", "urllib3.connectionpool", "urllib3.util.retry")


class _NotFromOurThreads(logging.Filter):
    """Lets through what is logged by threads of others."""

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - logging's name
        return not threading.current_thread().name.startswith(PREFIX)


_FILTER = _NotFromOurThreads()


def keep_quiet() -> None:
    """Let urllib3 log nothing from threads with a name that begins with `PREFIX`."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)
