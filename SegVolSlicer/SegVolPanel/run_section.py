"""Run, cancel, undo, redo, and the sentence of the moment."""

from typing import Any

from slicer.i18n import tr as _

from SegVolLogic.controller import SegVolController
from SegVolLogic.states import ControllerState
from SegVolPanel.attempt import Attempt

UNDO_KEY = "Z"
REDO_KEY = "Shift+Z"


class RunSection:
    """What is done with prompts.

    Parameters
    ----------
    ui, controller, attempt
        Of the panel.
    make_ready
        Sees to it that there is an engine.
    cancel_others
        Cancels what the controller knows nothing of, such as a download.
    """

    def __init__(
        self,
        ui: Any,
        controller: SegVolController,
        attempt: Attempt,
        make_ready: Any,
        cancel_others: Any,
    ) -> None:
        self._ui = ui
        self._controller = controller
        self._attempt = attempt
        self._make_ready = make_ready
        self._cancel_others = cancel_others
        ui.runButton.connect("clicked()", self.run)
        ui.cancelButton.connect("clicked()", self.cancel)
        ui.undoButton.connect("clicked()", self.undo)
        ui.redoButton.connect("clicked()", self.redo)

    def show(self, state: ControllerState, *, others_busy: bool) -> None:
        """Show what can be done."""
        ui = self._ui
        ui.runButton.setEnabled(state.can_run)
        ui.cancelButton.setEnabled(state.can_cancel or others_busy)
        ui.undoButton.setEnabled(state.undo_label is not None)
        ui.redoButton.setEnabled(state.redo_label is not None)
        ui.undoButton.setToolTip(
            _("Nothing to undo.")
            if state.undo_label is None
            else _("Undo: {step} [{key}]").format(step=state.undo_label, key=UNDO_KEY)
        )
        ui.redoButton.setToolTip(
            _("Nothing to redo.")
            if state.redo_label is None
            else _("Redo: {step} [{key}]").format(step=state.redo_label, key=REDO_KEY)
        )

    def run(self) -> None:
        """Compute the segment."""
        if self._attempt(self._controller.run):
            self._make_ready()

    def cancel(self) -> None:
        """Stop whatever goes on."""
        self._attempt(self._controller.cancel)
        self._cancel_others()

    def undo(self) -> None:
        """Take the last step back."""
        self._attempt(self._controller.undo)

    def redo(self) -> None:
        """Do it again."""
        self._attempt(self._controller.redo)
