"""The text field for names, which completes each name of a list, and offers near ones."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import qt

from segvol_core.errors import OrganError
from segvol_core.organs import find, suggest

_LIMIT = 10
_NAME = re.compile(r"[^,;\s\"“”][^,;\"“”]*(?=[,;]|$)")
"""A name in a list: not what stands in quotes, which is taken as it is."""
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
        # Enter is told before a name that is marked in the list has been put in.
        edit.connect("returnPressed()", lambda: qt.QTimer.singleShot(0, on_enter))
        leave = qt.QShortcut(qt.QKeySequence("Esc"), edit)
        leave.setContext(qt.Qt.WidgetShortcut)
        leave.connect("activated()", self.leave)

    @property
    def text(self) -> str:
        """What was typed."""
        return str(self._edit.text)

    @property
    def offered(self) -> list[str]:
        """Names that are offered now."""
        return [str(self._model.item(row).text()) for row in range(self._model.rowCount())]

    def clear(self) -> None:
        """Empty it and leave it: its names were taken."""
        self._edit.clear()
        self._offer("", ())
        self.leave()

    def leave(self) -> None:
        """Let letters be the keys of the panel again."""
        self._edit.clearFocus()

    def focus(self) -> None:
        """Let the keys go here."""
        self._edit.setFocus()
        self._edit.selectAll()

    def offer_near(self) -> None:
        """Offer names in place of the first one that is unknown."""
        for part in _NAME.finditer(self.text):
            names = _instead_of(part[0])
            if names:
                before, after = self.text[: part.start()], self.text[part.end() :]
                self._offer(before, names, after)
                self._edit.setFocus()
                self._completer.complete()
                return

    def _edited(self, text: str) -> None:
        last = max(text.rfind(separator) for separator in ",;") + 1
        typed = text[last:].strip()
        self._offer(f"{text[:last]} " if last else "", _near(typed))

    def _offer(self, before: str, names: Sequence[str], after: str = "") -> None:
        self._model.clear()
        for name in names:
            item = qt.QStandardItem(name)
            item.setData(f"{before}{name}{after}", _WHOLE_LINE)
            self._model.appendRow(item)


def _near(typed: str) -> tuple[str, ...]:
    if not typed or typed.startswith('"'):
        return ()
    try:
        return suggest(typed, _LIMIT)
    except OrganError:  # too long for any name
        return ()


def _instead_of(name: str) -> tuple[str, ...]:
    """Names for one that is unknown; none for a known one."""
    try:
        find(name)
    except OrganError as error:
        return error.suggestions
    return ()
