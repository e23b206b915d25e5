"""Ctrl-C, and a scheduler's signal, as a wish to stop after the step at hand."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stopping_between_steps() -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether a signal to end has come; a second one ends at once.

    Only the main thread of a process can listen; in others the function always says no.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    came = threading.Event()

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        if came.is_set():
            raise KeyboardInterrupt
        came.set()
        del number

    before = {each: signal.signal(each, note) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came.is_set
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
