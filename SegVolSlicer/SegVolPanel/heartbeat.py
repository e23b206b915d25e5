"""A timer that lets the panel look at the scene and the engine, and knows how long that took."""

import time
from collections.abc import Callable
from typing import Any

import qt

SHOWN_MILLISECONDS = 50
HIDDEN_MILLISECONDS = 250
AFTER_A_FAULT_MILLISECONDS = 5000
"""So that a fault that stays is not repeated twenty times a second, and one that passes is over."""


class Heartbeat:
    """Calls `beat` again and again, quickly while the panel is shown, and never within itself.

    Parameters
    ----------
    parent
        Widget that owns the timer.
    beat
        What is called. It raises only where this program is at fault.
    on_fault
        Called when it has raised, once for a fault that stays.

    Attributes
    ----------
    longest_seconds
        The longest beat so far: a stall of the window.
    """

    def __init__(self, parent: Any, beat: Callable[[], None], on_fault: Callable[[], None]) -> None:
        self._beat = beat
        self._on_fault = on_fault
        self._faulty = False
        self._beating = False
        self._milliseconds = SHOWN_MILLISECONDS
        self.longest_seconds = 0.0
        self._timer = qt.QTimer(parent)
        self._timer.connect("timeout()", self._tick)
        self._at_once = qt.QTimer(parent)
        self._at_once.setSingleShot(True)
        self._at_once.connect("timeout()", self._tick)

    @property
    def running(self) -> bool:
        """Whether it beats."""
        return bool(self._timer.active)

    def start(self, *, shown: bool = True) -> None:
        """Beat quickly, or slowly while the panel is not shown."""
        self._milliseconds = SHOWN_MILLISECONDS if shown else HIDDEN_MILLISECONDS
        self._faulty = False
        self._timer.start(self._milliseconds)

    def soon(self) -> None:
        """Beat once more, as soon as Slicer has done what it is at."""
        if self.running and not self._faulty:
            self._at_once.start(0)

    def stop(self) -> None:
        """Beat no more."""
        self._timer.stop()
        self._at_once.stop()

    def _tick(self) -> None:
        if self._beating:  # Slicer lets timers go on while it adds a node
            return
        started = time.perf_counter()
        ended_well = False
        self._beating = True
        try:
            self._beat()
            ended_well = True
        finally:
            self._beating = False
            self.longest_seconds = max(self.longest_seconds, time.perf_counter() - started)
            if ended_well == self._faulty:
                self._note(faulty=not ended_well)

    def _note(self, *, faulty: bool) -> None:
        self._faulty = faulty
        self._timer.setInterval(AFTER_A_FAULT_MILLISECONDS if faulty else self._milliseconds)
        if faulty:
            self._on_fault()
