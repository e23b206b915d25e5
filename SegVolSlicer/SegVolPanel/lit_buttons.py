"""Buttons that are lit while they are on: in a dark style a pressed one looks as any other."""

from collections.abc import Iterable
from functools import partial
from typing import Any

import qt


def light_while_on(buttons: Iterable[Any]) -> None:
    """Give checkable buttons the colour of a selection while they are checked."""
    for button in buttons:
        button.connect("toggled(bool)", partial(_light, button))


def _light(button: Any, on: bool) -> None:
    # A new palette leaves all colours but those set here to the style, which may change.
    palette = qt.QPalette()
    button.setPalette(palette)
    if on:
        # Of an active window and not of now: a button that cannot be pressed yet has grey ones.
        lit = partial(button.palette.color, qt.QPalette.Active)
        palette.setColor(qt.QPalette.Button, lit(qt.QPalette.Highlight))
        palette.setColor(qt.QPalette.ButtonText, lit(qt.QPalette.HighlightedText))
        button.setPalette(palette)
