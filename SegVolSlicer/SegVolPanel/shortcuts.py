"""Keys that do what buttons do, only while the module is shown."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import qt


@dataclass(frozen=True)
class Shortcut:
    """A key, what is written beside it, and what it does.

    None of them is used by Slicer's windows, slice views or 3D views (its user guide, chapter
    "Mouse & Keyboard Shortcuts").
    """

    key: str
    description: str
    action: Callable[[], None]
    button: Any = None
    """Whose tool tip tells of the key."""


class Shortcuts:
    """Keys of the panel.

    Parameters
    ----------
    window
        In which they work: Slicer's main window.
    shortcuts
        What there is.
    """

    def __init__(self, window: Any, shortcuts: Sequence[Shortcut]) -> None:
        self._window = window
        self._shortcuts = tuple(shortcuts)
        self._made: list[Any] = []
        for shortcut in shortcuts:
            if shortcut.button is not None:
                shortcut.button.setToolTip(f"{shortcut.button.toolTip} [{shortcut.key}]")

    def activate(self) -> None:
        """Let the keys work."""
        if self._made or self._window is None:
            return
        for shortcut in self._shortcuts:
            made = qt.QShortcut(qt.QKeySequence(shortcut.key), self._window)
            made.connect("activated()", shortcut.action)
            self._made.append(made)

    def deactivate(self) -> None:
        """Let the keys be."""
        for made in self._made:
            made.setEnabled(False)
            made.deleteLater()
        self._made.clear()

    def as_table(self) -> str:
        """Return what there is as rich text."""
        rows = (
            f"<tr><td><b>{each.key}</b>&nbsp;&nbsp;</td><td>{each.description}</td></tr>"
            for each in self._shortcuts
        )
        return f"<table cellspacing='1'>{''.join(rows)}</table>"
