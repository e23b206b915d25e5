"""The line that always says what is going on, or what is missing and what to click."""

import math
import time
from collections.abc import Callable
from typing import Any

from slicer.i18n import tr as _

NOTICE_SECONDS = 8.0
"""How long something said in passing stays."""


class StatusLine:
    """A sentence, a progress bar, and a button where there is one thing to click.

    Parameters
    ----------
    ui
        Has `statusLabel`, `statusButton` and `progressBar`.
    """

    def __init__(self, ui: Any) -> None:
        self._label, self._button, self._bar = ui.statusLabel, ui.statusButton, ui.progressBar
        self._sentence = ""
        self._notice = ""
        self._notice_ends = 0.0
        self._action: Callable[[], None] | None = None
        self._button.connect("clicked()", self._clicked)
        self.progress(None)

    @property
    def text(self) -> str:
        """What is written now."""
        return str(self._label.text)

    def show(
        self,
        sentence: str,
        *,
        problem: bool = False,
        action: tuple[str, Callable[[], None]] | None = None,
    ) -> None:
        """Say what is going on; a notice stays above it for its time.

        Parameters
        ----------
        sentence
            For the user.
        problem
            Whether it is in the way.
        action
            Text of the button and what it does; None for no button.
        """
        self._sentence = _marked(sentence, problem)
        self._action = None if action is None else action[1]
        if action is not None and self._button.text != action[0]:
            self._button.setText(action[0])
        if self._button.isHidden() == (action is not None):
            self._button.setVisible(action is not None)
        self._write()

    def notice(self, sentence: str, *, problem: bool = False) -> None:
        """Say something in passing; a problem stays until the user goes on."""
        self._notice = _marked(sentence, problem)
        self._notice_ends = math.inf if problem else time.monotonic() + NOTICE_SECONDS
        self._write()

    def forget_notice(self) -> None:
        """Take a notice back: the user has gone on."""
        self._notice = ""
        self._write()

    def progress(self, fraction: float | None, *, busy: bool = False) -> None:
        """Show how far things are; None for nothing, busy for a bar without an end."""
        self._bar.setMaximum(0 if busy else 100)
        self._bar.setValue(0 if fraction is None else round(100 * fraction))
        # An empty bar keeps its place, so that nothing jumps.
        self._bar.setEnabled(busy or fraction is not None)

    def _write(self) -> None:
        if self._notice and time.monotonic() > self._notice_ends:
            self._notice = ""
        text = self._notice or self._sentence
        if self._label.text != text:
            self._label.setText(text)

    def _clicked(self) -> None:
        if self._action is not None:
            self._action()


def _marked(sentence: str, problem: bool) -> str:
    # A sign and not a colour: it is read in dark and light, and by the colour-blind.
    return _("⚠ {sentence}").format(sentence=sentence) if problem else sentence
