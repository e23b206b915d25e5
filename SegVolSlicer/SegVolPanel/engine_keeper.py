"""Has an engine there when something is wanted of it, and asks for what is missing."""

from pathlib import Path
from typing import Any

from segvol_core.packages.job import Operation, PackageJob
from SegVolLogic.controller import SegVolController
from SegVolLogic.engine import EngineState
from SegVolPanel.engine_choice import EngineChoice, Missing, Place
from SegVolPanel.engine_section import EngineSection
from SegVolPanel.preparation import Preparation
from SegVolPanel.settings import Settings
from SegVolPanel.setup_dialog import SetupAnswers, SetupDialog
from SegVolPanel.status_line import StatusLine
from SegVolPanel.weights_download import WeightsDownload


class EngineKeeper:
    """The engine's side of the panel.

    Parameters
    ----------
    ui, controller, status, settings
        Of the panel.
    ui_folder
        Where ``SegVolSetup.ui`` is.

    Attributes
    ----------
    download
        Of the published weights.
    """

    def __init__(
        self,
        ui: Any,
        controller: SegVolController,
        status: StatusLine,
        settings: Settings,
        ui_folder: Path,
    ) -> None:
        self._ui = ui
        self._controller = controller
        self._status = status
        self._ui_folder = ui_folder
        self._stopped_by_user = False
        self._asked = False
        self._stale = False
        self._was_busy = False
        self._dialog: SetupDialog | None = None
        self.download = WeightsDownload(lambda text, bad: status.notice(text, problem=bad))
        self._section = EngineSection(ui, settings, self)
        self._preparation = Preparation(controller, self.download, self._choice, self._start)

    @property
    def missing(self) -> tuple[Missing, ...]:
        """What was missing when the disk was looked at last; nothing while there is an engine."""
        is_off = self._controller.state.engine is EngineState.OFF
        return self._section.missing if is_off else ()

    @property
    def busy(self) -> bool:
        """Whether something is being installed or downloaded."""
        return self._preparation.busy

    @property
    def changing_packages(self) -> bool:
        """Whether packages are being installed, repaired or removed."""
        return self._preparation.changing_packages

    @property
    def package_job(self) -> PackageJob | None:
        """What is being done to the packages; None for nothing."""
        return self._preparation.package_job

    def enter(self) -> None:
        """Look what there is: the panel is shown."""
        self._asked = False
        self._section.look_at_disk()

    def poll(self, *, shown: bool) -> None:
        """Go on with what is being brought, and start the engine when it can be started.

        Parameters
        ----------
        shown
            Whether the panel is: otherwise nothing is started.
        """
        self._preparation.poll()
        self._section.poll()
        if self._was_busy and not self.busy:
            self._section.look_at_disk()
        self._was_busy = self.busy
        state = self._controller.state
        if state.engine is not EngineState.OFF:
            return
        if shown and state.volume_node is not None and not self._stopped_by_user:
            self._start_if_nothing_is_missing()
        if state.running and not self._asked:
            self.make_ready()

    def show(self) -> None:
        """Show what can be done."""
        self._section.show(self._controller.state, busy=self.busy)

    def add_log(self, lines: tuple[str, ...]) -> None:
        """Show what an installation prints."""
        self._section.add_log(lines)

    def make_ready(self) -> None:
        """Start the engine if it is off; what is missing is asked for, all at once."""
        if not self._controller.state.can_start_engine or self.busy:
            return
        self._section.look_at_disk()
        missing = self._section.missing
        if not missing:
            self._start()
        elif Missing.ADDRESS in missing or Missing.WEIGHTS_FILE in missing:
            self.unfold()
        else:
            self._ask_for(missing)

    def unfold(self) -> None:
        """Open the section."""
        self._section.unfold()

    def cancel(self) -> None:
        """Bring nothing more."""
        self._preparation.cancel()

    def close(self) -> None:
        """End everything."""
        self.cancel()
        if self._dialog is not None:
            self._dialog.close()
        self._section.close()

    # What the section's buttons ask for

    def choice_changed(self) -> None:
        """Compute as it is chosen now, at once if anything is computed at all."""
        self._status.forget_notice()
        self._stale = True
        self._stopped_by_user = False
        if self._controller.state.engine is EngineState.OFF:
            return
        if self._section.missing:
            self._controller.stop_engine()
        else:
            self._start()

    def stop(self) -> None:
        """Stop the engine until it is wanted."""
        self._stopped_by_user = True
        self._controller.stop_engine()

    def install(self) -> None:
        """Install the packages, asking first."""
        self._ask_for((Missing.PACKAGES,))

    def change_packages(self, operation: Operation) -> None:
        """Repair or remove the packages."""
        self._status.forget_notice()
        self._stopped_by_user = operation == "remove"
        self._controller.stop_engine()
        self._preparation.change_packages(operation)

    def download_weights(self) -> None:
        """Download the published weights, whichever are used now."""
        self._section.look_at_disk()
        if Missing.PACKAGES in self._section.missing:
            self._ask_for((Missing.PACKAGES, Missing.WEIGHTS))
        else:
            self._preparation.begin((Missing.WEIGHTS,), None, then_start=False)

    # What is behind it

    def _choice(self) -> EngineChoice:
        return self._section.choice

    def _start(self) -> None:
        self._stopped_by_user = False
        if self._stale:
            self._stale = False
            self._controller.use_engine(self._section.choice.engine())
        else:
            self._controller.start_engine()

    def _start_if_nothing_is_missing(self) -> None:
        if not self.busy and not self._section.missing:
            self._start()

    def _ask_for(self, missing: tuple[Missing, ...]) -> None:
        self._asked = True
        if self._dialog is not None:
            self._dialog.close()
        answers = SetupAnswers(
            go=lambda wheels: self._preparation.begin(missing, wheels),
            server=self._choose_server,
        )
        self._dialog = SetupDialog(str(self._ui_folder / "SegVolSetup.ui"), answers)
        self._dialog.ask(missing)

    def _choose_server(self) -> None:
        self._section.choose_place(Place.SERVER)
        self.unfold()
        self._ui.urlEdit.setFocus()
