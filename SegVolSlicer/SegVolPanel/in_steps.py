"""Long work of Slicer's own, one step at a time, so that the window answers in between."""

from collections.abc import Callable, Generator
from typing import Any

import qt
from slicer.i18n import tr as _

from segvol_core.errors import SegVolError
from SegVolPanel.status_line import StatusLine

_TIME_TO_PAINT_MILLISECONDS = 20

Steps = Generator[tuple[int, int], None, Any]
"""Yields the number of the next step, from 1, and how many there are; returns a result."""


class InSteps:
    """Does one long thing; another one ends it.

    Parameters
    ----------
    parent
        Widget that owns the timer.
    status
        Where it says how far it is.
    """

    def __init__(self, parent: Any, status: StatusLine) -> None:
        self._status = status
        self._steps: Steps | None = None
        self._says = ""
        self._ended: Callable[[Any], None] = _nothing
        self._timer = qt.QTimer(parent)
        self._timer.setInterval(_TIME_TO_PAINT_MILLISECONDS)
        self._timer.connect("timeout()", self._step)

    @property
    def running(self) -> bool:
        """Whether it is at work."""
        return self._steps is not None

    def begin(self, says: str, steps: Steps, ended: Callable[[Any], None]) -> None:
        """Begin.

        Parameters
        ----------
        says
            Sentence with ``{number}`` and ``{count}``.
        steps
            What is done.
        ended
            Called with its result; not if something was in the way, which is said.
        """
        self.stop()
        self._says, self._steps, self._ended = says, steps, ended
        self._step()
        if self.running:
            self._timer.start()

    def stop(self) -> None:
        """Do no more; what was begun is cleaned up."""
        self._timer.stop()
        if self._steps is not None:
            self._steps.close()
        self._steps = None

    def _step(self) -> None:
        steps = self._steps
        if steps is None:
            return
        try:
            number, count = next(steps)
        except StopIteration as end:
            self.stop()
            self._ended(end.value)
        except SegVolError as error:
            self.stop()
            self._status.notice(str(error), problem=True)
        except Exception:
            # Slicer's own modules raise what they like, and the timer would go on over a dead
            # generator.
            self.stop()
            sentence = _("That went wrong: the Python console says why.")
            self._status.notice(sentence, problem=True)
            raise
        else:
            self._status.notice(self._says.format(number=number, count=count))


def _nothing(_result: Any) -> None:
    """What happens at the end of nothing."""
