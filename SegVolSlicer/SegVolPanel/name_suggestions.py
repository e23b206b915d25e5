"""Buttons below each other: what the segment could be, each giving it that name."""

from functools import partial
from typing import Any

from slicer.i18n import tr as _

from SegVolLogic.controller import SegVolController
from SegVolLogic.organ_texts import organ_of
from SegVolLogic.states import ControllerState
from SegVolPanel.attempt import Attempt

_LEAST_SHARE = 0.05
"""Of the probability: names that fit no better are no help."""


class NameSuggestions:
    """Names that fit a segment which was clicked or boxed; hidden while there are none.

    Parameters
    ----------
    ui, controller
        Of the panel.
    attempt
        Does something and says what went wrong.
    """

    def __init__(self, ui: Any, controller: SegVolController, attempt: Attempt) -> None:
        self._row = ui.suggestionRow
        self._buttons = [ui.suggestion1Button, ui.suggestion2Button, ui.suggestion3Button]
        self._controller = controller
        self._attempt = attempt
        self._names: list[str] = []
        for index, button in enumerate(self._buttons):
            button.connect("clicked()", partial(self._take, index))
        self._row.setVisible(False)

    def show(self, state: ControllerState) -> None:
        """Show the names of the selected segment."""
        likely = [name for name, share in state.names if share >= _LEAST_SHARE]
        self._names = likely[: len(self._buttons)]
        for index, button in enumerate(self._buttons):
            there = index < len(self._names)
            button.setVisible(there)
            if there:
                name, share = state.names[index]
                offer = _("{name} ({share} %)")
                display_name = organ_of(name).display_name
                button.setText(offer.format(name=display_name, share=round(100 * share)))
        self._row.setVisible(bool(self._names))

    def _take(self, index: int) -> None:
        self._attempt(self._controller.name_segment, self._names[index])
