"""The text field for names, which completes each name of a list, and offers near ones."""

from collections.abc import Callable, Sequence
from typing import Any

import qt

from segvol_core.errors import OrganError
from segvol_core.organs import suggest

_LIMIT = 10
_WHOLE_LINE = 256 + 1
"""A role of the model, above Qt.UserRole: the line as it would be with this name."""


class NameField:
    """A line of names with commas between them.

    Parameters
    ----------
    edit
        The line edit.
    on_enter
        Called when Enter is pressed.
    """

    def __init__(self, edit: Any, on_enter: Callable[[], None]) -> None:
        self._edit = edit
        self._model = qt.QStandardItemModel(edit)
        self._completer = qt.QCompleter(edit)
        self._completer.setModel(self._model)
        # What is offered is chosen here: near names need not begin with what was typed.
        self._completer.setCompletionMode(qt.QCompleter.UnfilteredPopupCompletion)
        self._completer.setCompletionRole(_WHOLE_LINE)
        self._completer.setCaseSensitivity(qt.Qt.CaseInsensitive)
        self._completer.setMaxVisibleItems(_LIMIT)
        edit.setCompleter(self._completer)
        edit.connect("textEdited(QString)", self._edited)
        edit.connect("returnPressed()", on_enter)

    @property
    def text(self) -> str:
        """What was typed."""
        return str(self._edit.text)

    @property
    def offered(self) -> list[str]:
        """Names that are offered now."""
        return [str(self._model.item(row).text()) for row in range(self._model.rowCount())]

    def clear(self) -> None:
        """Empty it, to type the next names."""
        self._edit.clear()
        self._offer("", ())

    def focus(self) -> None:
        """Let the keys go here."""
        self._edit.setFocus()
        self._edit.selectAll()

    def offer_instead(self, names: Sequence[str]) -> None:
        """Offer names in place of the one that is unknown."""
        if not names:
            return
        done = self._before_last()
        self._offer(done, names)
        self._edit.setFocus()
        self._completer.complete()

    def _edited(self, text: str) -> None:
        done = self._before_last()
        typed = text[len(done) :].strip()
        self._offer(done, _near(typed))

    def _before_last(self) -> str:
        """The line up to the name that is being typed."""
        text = self.text
        end = max(text.rfind(separator) for separator in ",;")
        spaces = len(text[end + 1 :]) - len(text[end + 1 :].lstrip())
        return text[: end + 1 + spaces]

    def _offer(self, done: str, names: Sequence[str]) -> None:
        self._model.clear()
        space = " " if done and not done.endswith(" ") else ""
        for name in names:
            item = qt.QStandardItem(name)
            item.setData(f"{done}{space}{name}", _WHOLE_LINE)
            self._model.appendRow(item)


def _near(typed: str) -> tuple[str, ...]:
    if not typed or typed.startswith('"'):
        return ()
    try:
        return suggest(typed, _LIMIT)
    except OrganError:  # too long for any name
        return ()
