"""Seconds that the steps of a command take."""

from __future__ import annotations

import time


class Clock:
    """Seconds between laps and in all.

    Attributes
    ----------
    laps
        Seconds by name.
    """

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._begin = self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """End a lap of that name; the next one begins."""
        now = time.perf_counter()
        self.laps[name] = now - self._last
        self._last = now

    def total(self) -> float:
        """Seconds since the clock was made."""
        return time.perf_counter() - self._begin
