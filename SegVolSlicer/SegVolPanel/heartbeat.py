"""A timer that lets the panel look at the scene and the engine, and knows how long that took."""

import time
from collections.abc import Callable
from typing import Any

import qt

SHOWN_MILLISECONDS = 50
HIDDEN_MILLISECONDS = 250


class Heartbeat:
    """Calls `beat` again and again, quickly while the panel is shown.

    Parameters
    ----------
    parent
        Widget that owns the timer.
    beat
        What is called. If it raises, the timer stops, so that no error is repeated twenty times a
        second; `start` lets it go on.

    Attributes
    ----------
    longest_seconds
        The longest beat so far: a stall of the window.
    """

    def __init__(self, parent: Any, beat: Callable[[], None]) -> None:
        self._beat = beat
        self.longest_seconds = 0.0
        self._timer = qt.QTimer(parent)
        self._timer.connect("timeout()", self._tick)

    @property
    def running(self) -> bool:
        """Whether it beats."""
        return bool(self._timer.active)

    def start(self, *, shown: bool = True) -> None:
        """Beat quickly, or slowly while the panel is not shown."""
        self._timer.start(SHOWN_MILLISECONDS if shown else HIDDEN_MILLISECONDS)

    def stop(self) -> None:
        """Beat no more."""
        self._timer.stop()

    def _tick(self) -> None:
        started = time.perf_counter()
        ended_well = False
        try:
            self._beat()
            ended_well = True
        finally:
            self.longest_seconds = max(self.longest_seconds, time.perf_counter() - started)
            if not ended_well:
                self._timer.stop()
