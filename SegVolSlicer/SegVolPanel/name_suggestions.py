"""Buttons below each other: what the segment could be, each giving it that name."""

from functools import partial
from typing import Any

from slicer.i18n import tr as _

from SegVolLogic.controller import SegVolController
from SegVolLogic.organ_texts import organ_of
from SegVolLogic.states import ControllerState
from SegVolPanel.attempt import Attempt


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
        self._names = [name for name, _share in state.names][: len(self._buttons)]
        for index, button in enumerate(self._buttons):
            there = index < len(self._names)
            button.setVisible(there)
            if there:
                name, share = state.names[index]
                button.setText(organ_of(name).display_name)
                sure = _("{share} % sure. Name, colour and code; nothing is computed.")
                button.setToolTip(sure.format(share=round(100 * share)))
        self._row.setVisible(bool(self._names))

    def _take(self, index: int) -> None:
        self._attempt(self._controller.name_segment, self._names[index])
