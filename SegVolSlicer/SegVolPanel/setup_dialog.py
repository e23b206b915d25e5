"""The one dialog: everything that is missing, what it costs, and where it comes from."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ctk
import slicer.util
from slicer.i18n import tr as _

from segvol_core.user_folders import packages_folder
from segvol_core.weights_folder import weights_folder
from SegVolPanel.engine_choice import Missing


@dataclass(frozen=True)
class SetupAnswers:
    """What to do about each answer.

    Attributes
    ----------
    go
        Called with the folder of wheels, or None for the internet.
    server
        The user wants a server instead.
    """

    go: Callable[[Path | None], None]
    server: Callable[[], None]


class SetupDialog:
    """Asks once, and does not wait: Slicer goes on behind it.

    Parameters
    ----------
    ui_file
        ``SegVolSetup.ui``.
    answers
        One of them is called, once; none if the user does not want to now.
    """

    def __init__(self, ui_file: str, answers: SetupAnswers) -> None:
        self._answers = answers
        self.widget: Any = slicer.util.loadUI(ui_file)
        self.ui: Any = slicer.util.childWidgetVariables(self.widget)
        window = slicer.util.mainWindow()
        if window is not None:
            self.widget.setParent(window, self.widget.windowFlags())
        ui = self.ui
        ui.wheelsButton.connect("toggled(bool)", self._show_what_is_possible)
        ui.wheelsEdit.filters = ctk.ctkPathLineEdit.Dirs
        ui.wheelsEdit.connect("currentPathChanged(QString)", self._show_what_is_possible)
        ui.goButton.connect("clicked()", self._go)
        ui.serverButton.connect("clicked()", self._server)
        ui.laterButton.connect("clicked()", self._later)
        self.widget.connect("rejected()", self._later)
        self._answered = False

    def ask(self, missing: tuple[Missing, ...]) -> None:
        """Show what is missing; an answer comes later."""
        packages = Missing.PACKAGES in missing
        lines = [_("<p>Before the first segment, SegVol needs:</p>"), "<ul>"]
        if packages:
            lines.append(
                _(
                    "<li><b>PyTorch and other packages</b>: 0.3 to 3 GB to download, up to 9 GB on "
                    "the disk with a graphics card. They go into a folder of their own, {folder}, "
                    "and change nothing in Slicer.</li>"
                ).format(folder=packages_folder())
            )
        if Missing.WEIGHTS in missing:
            lines.append(
                _("<li><b>The published weights</b>: 724 MB, into {folder}.</li>").format(
                    folder=weights_folder()
                )
            )
        lines.append("</ul>")
        lines.append(
            _("<p>It can all be removed again. What you have placed is kept meanwhile.</p>")
        )
        self.ui.explanationLabel.setText("".join(lines))
        for widget in (self.ui.internetButton, self.ui.wheelsButton, self.ui.wheelsEdit):
            widget.setVisible(packages)
        self._show_what_is_possible()
        self.widget.open()

    def close(self) -> None:
        """Take it away without an answer."""
        self._answered = True
        self.widget.hide()
        # Without a parent it would be Python's, which deletes it while Qt does, and Slicer crashes.
        self.widget.deleteLater()

    def _show_what_is_possible(self, *_value: Any) -> None:
        from_folder = self.ui.wheelsButton.checked
        self.ui.wheelsEdit.setEnabled(from_folder)
        folder = str(self.ui.wheelsEdit.currentPath).strip()
        self.ui.goButton.setEnabled(not from_folder or (bool(folder) and Path(folder).is_dir()))

    def _go(self) -> None:
        from_folder = self.ui.wheelsButton.checked
        wheels = Path(str(self.ui.wheelsEdit.currentPath).strip()) if from_folder else None
        self._answer(lambda: self._answers.go(wheels))

    def _server(self) -> None:
        self._answer(self._answers.server)

    def _later(self) -> None:
        self._answer(_nothing)

    def _answer(self, action: Callable[[], None]) -> None:
        if not self._answered:
            self._answered = True
            self.widget.hide()
            action()


def _nothing() -> None:
    """What happens when the user does not want to now."""
