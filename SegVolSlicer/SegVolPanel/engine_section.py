"""What computes: this computer or a server, with which weights, on what."""

from typing import Any, Protocol

from slicer.i18n import tr as _

from segvol_core.packages.job import Operation
from segvol_core.weights_folder import segvol_file
from SegVolLogic.engine import EngineState
from SegVolLogic.states import ControllerState
from SegVolPanel.engine_choice import EngineChoice, Missing, Place, Weights, packages_status
from SegVolPanel.server_test import ServerTest
from SegVolPanel.settings import Settings

_PLACES = (Place.COMPUTER, Place.SERVER)
_WEIGHTS = (Weights.STARTER, Weights.SEGVOL, Weights.FILE)
_DEVICES = ("auto", "cpu", "cuda", "mps")


def stored_choice(settings: Settings) -> EngineChoice:
    """The choice as it was left."""
    places = {place.value: place for place in Place}
    weights = {each.value: each for each in Weights}
    device = settings.text("device", "auto")
    return EngineChoice(
        place=places.get(settings.text("place"), Place.COMPUTER),
        weights=weights.get(settings.text("weights"), Weights.STARTER),
        weights_file=settings.text("weightsFile"),
        device=device if device in _DEVICES else "auto",
        memory_gb=settings.number("memoryGb", 0),
        url=settings.text("serverUrl"),
        token=settings.text("serverToken"),
        certificate=settings.text("serverCertificate"),
    )


class EngineActions(Protocol):
    """What the buttons of the section ask for."""

    def choice_changed(self) -> None:
        """Something else was chosen."""

    def make_ready(self) -> None:
        """Start the engine."""

    def stop(self) -> None:
        """Stop it."""

    def install(self) -> None:
        """Install the packages."""

    def change_packages(self, operation: Operation) -> None:
        """Repair or remove them."""

    def download_weights(self) -> None:
        """Download the published weights."""


class EngineSection:
    """The folded section of the engine.

    Parameters
    ----------
    ui, settings
        Of the panel.
    actions
        What its buttons ask for.

    Attributes
    ----------
    choice
        What is chosen.
    missing
        What was missing for it when the disk was looked at last.
    """

    def __init__(self, ui: Any, settings: Settings, actions: EngineActions) -> None:
        self._ui = ui
        self._settings = settings
        self._actions = actions
        self._test = ServerTest()
        self._log_shown = False
        self._fill(stored_choice(settings))
        self.choice = self._chosen()
        self.missing: tuple[Missing, ...] = ()
        self._packages = packages_status()
        for box in (ui.placeBox, ui.weightsBox, ui.deviceBox):
            box.connect("currentIndexChanged(int)", self._changed)
        ui.memoryBox.connect("editingFinished()", self._changed)
        ui.weightsFileEdit.connect("currentPathChanged(QString)", self._changed)
        ui.certificateEdit.connect("currentPathChanged(QString)", self._changed)
        ui.certificateEdit.connect("currentPathChanged(QString)", self._forget_test)
        for edit in (ui.urlEdit, ui.tokenEdit):
            edit.connect("editingFinished()", self._changed)
            edit.connect("textChanged(QString)", self._forget_test)
        ui.rememberTokenBox.connect("toggled(bool)", lambda _on: self._store(self.choice))
        ui.testButton.connect("clicked()", self._test_server)
        ui.downloadButton.connect("clicked()", actions.download_weights)
        ui.installButton.connect("clicked()", actions.install)
        ui.repairButton.connect("clicked()", lambda: actions.change_packages("repair"))
        ui.removePackagesButton.connect("clicked()", lambda: actions.change_packages("remove"))
        ui.startButton.connect("clicked()", actions.make_ready)
        ui.stopButton.connect("clicked()", actions.stop)
        ui.engineSection.connect("contentsCollapsed(bool)", self._folded)
        self.look_at_disk()

    def look_at_disk(self) -> None:
        """Look what is installed and downloaded; takes some milliseconds."""
        self.missing = self.choice.missing()
        status = packages_status()
        self._ui.packagesLabel.setText(status.message)
        self._packages = status
        self._ui.downloadButton.setText(
            _("SegVol is downloaded") if segvol_file().exists() else _("Download SegVol (724 MB)")
        )

    def show(self, state: ControllerState, *, busy: bool) -> None:
        """Show what can be done; busy while something is installed or downloaded."""
        ui = self._ui
        off = state.engine in (EngineState.OFF, EngineState.FAILED)
        ui.startButton.setEnabled(off and not busy)
        ui.stopButton.setEnabled(state.engine in (EngineState.READY, EngineState.STARTING))
        ui.installButton.setEnabled(not busy and self._packages.state not in ("ready", "foreign"))
        installed = bool(self._packages.versions) and self._packages.state != "foreign"
        ui.repairButton.setEnabled(not busy and installed)
        ui.removePackagesButton.setEnabled(not busy and installed)
        ui.downloadButton.setEnabled(not busy and not segvol_file().exists())
        ui.weightsFileEdit.setEnabled(self.choice.weights is Weights.FILE and not busy)
        for box in (ui.placeBox, ui.weightsBox, ui.deviceBox, ui.memoryBox):
            box.setEnabled(not busy)
        ui.testButton.setEnabled(bool(ui.urlEdit.text.strip()) and not self._test.running)

    def poll(self) -> None:
        """Look whether a tested server has answered."""
        answer = self._test.poll()
        if answer is not None:
            self._ui.testLabel.setText(answer)

    def add_log(self, lines: tuple[str, ...]) -> None:
        """Show what an installation prints."""
        self._log_shown = True
        self._ui.logView.setVisible(True)
        for line in lines:
            self._ui.logView.appendPlainText(line)

    def choose_place(self, place: Place) -> None:
        """Choose as the user would."""
        self._ui.placeBox.setCurrentIndex(_PLACES.index(place))

    def unfold(self) -> None:
        """Open the section, for something to be seen in it."""
        self._ui.engineSection.collapsed = False

    def close(self) -> None:
        """Wait for no server."""
        self._test.forget()

    def _fill(self, choice: EngineChoice) -> None:
        ui = self._ui
        for text in (_("This computer"), _("A server")):
            ui.placeBox.addItem(text)
        for text in (_("Starter (small, bundled)"), _("SegVol (published)"), _("A file")):
            ui.weightsBox.addItem(text)
        for text in (
            _("Best there is"),
            _("CPU"),
            _("NVIDIA GPU (CUDA)"),
            _("Apple GPU (MPS)"),
        ):
            ui.deviceBox.addItem(text)
        ui.placeBox.setCurrentIndex(_PLACES.index(choice.place))
        ui.weightsBox.setCurrentIndex(_WEIGHTS.index(choice.weights))
        ui.deviceBox.setCurrentIndex(_DEVICES.index(choice.device))
        ui.weightsFileEdit.setCurrentPath(choice.weights_file)
        ui.memoryBox.setValue(choice.memory_gb)
        ui.urlEdit.setText(choice.url)
        ui.tokenEdit.setText(choice.token)
        ui.rememberTokenBox.setChecked(bool(choice.token))
        ui.certificateEdit.setCurrentPath(choice.certificate)
        ui.engineSection.collapsed = self._settings.flag("engineCollapsed", True)
        self._show_pages(choice)

    def _folded(self, folded: bool) -> None:
        self._settings.store("engineCollapsed", folded)
        self._show_pages(self.choice)

    def _show_pages(self, choice: EngineChoice) -> None:
        ui = self._ui
        if ui.engineSection.collapsed:
            return
        ui.computerPage.setVisible(choice.place is Place.COMPUTER)
        ui.serverPage.setVisible(choice.place is Place.SERVER)
        ui.logView.setVisible(self._log_shown)

    def _chosen(self) -> EngineChoice:
        ui = self._ui
        return EngineChoice(
            place=_PLACES[ui.placeBox.currentIndex],
            weights=_WEIGHTS[ui.weightsBox.currentIndex],
            weights_file=str(ui.weightsFileEdit.currentPath),
            device=_DEVICES[ui.deviceBox.currentIndex],
            memory_gb=int(ui.memoryBox.value),
            url=str(ui.urlEdit.text),
            token=str(ui.tokenEdit.text),
            certificate=str(ui.certificateEdit.currentPath),
        )

    def _changed(self, *_value: Any) -> None:
        choice = self._chosen()
        if choice == self.choice:
            return
        self.choice = choice
        self.look_at_disk()
        self._store(choice)
        self._show_pages(choice)
        self._actions.choice_changed()

    def _store(self, choice: EngineChoice) -> None:
        store = self._settings.store
        store("place", choice.place.value)
        store("weights", choice.weights.value)
        store("weightsFile", choice.weights_file)
        store("device", choice.device)
        store("memoryGb", choice.memory_gb)
        store("serverUrl", choice.url)
        # As plain text, since Slicer has no safe for it: only if the user wants it so.
        if self._ui.rememberTokenBox.checked:
            store("serverToken", choice.token)
        else:
            self._settings.forget("serverToken")
        store("serverCertificate", choice.certificate)

    def _forget_test(self, *_text: Any) -> None:
        """An answer is about what was asked."""
        self._test.forget()
        self._ui.testLabel.setText("")

    def _test_server(self) -> None:
        self._changed()
        self._ui.testLabel.setText(_("Asking …"))
        self._test.start(self.choice)
