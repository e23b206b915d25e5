"""Looks for an answer between two beats of the panel, so that it is shown at once."""

from collections.abc import Callable
from typing import Any

import qt

_MILLISECONDS = 10
"""A look takes a fraction of a millisecond of the processor, and a whole beat several."""


class Listening:
    """Listens only while something is waited for.

    Parameters
    ----------
    parent
        Widget that owns the timer.
    has_news
        Whether there is an answer.
    on_news
        Called when there is.
    """

    def __init__(
        self, parent: Any, has_news: Callable[[], bool], on_news: Callable[[], None]
    ) -> None:
        self._has_news = has_news
        self._on_news = on_news
        self._timer = qt.QTimer(parent)
        self._timer.setInterval(_MILLISECONDS)
        self._timer.connect("timeout()", self._look)

    @property
    def listens(self) -> bool:
        """Whether something is waited for."""
        return bool(self._timer.active)

    def go_on(self, waiting: bool) -> None:
        """Listen, or not while nothing is waited for."""
        if waiting and not self.listens:
            self._timer.start()
        elif not waiting:
            self._timer.stop()

    def _look(self) -> None:
        if self._has_news():
            self._on_news()
