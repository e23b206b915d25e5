"""The panel as a whole: a controller, the sections, a timer; what begins and what ends."""

from pathlib import Path
from typing import Any

import slicer
import slicer.util
from slicer.i18n import tr as _

from SegVolLogic.controller import SegVolController
from SegVolLogic.engine import EngineState
from SegVolLogic.events import Event, PrintedLines, Said, StateChanged
from SegVolLogic.states import ControllerState
from SegVolPanel.attempt import attempts
from SegVolPanel.data_section import DataSection
from SegVolPanel.engine_choice import Missing
from SegVolPanel.engine_section import EngineActions, EngineSection
from SegVolPanel.heartbeat import Heartbeat
from SegVolPanel.preparation import Preparation
from SegVolPanel.prompt_section import PromptSection
from SegVolPanel.result_section import ResultSection, stored_options
from SegVolPanel.run_section import RunSection
from SegVolPanel.scene_memory import SceneMemory
from SegVolPanel.sentences import Circumstances, Sentence, sentence_of
from SegVolPanel.settings import Settings
from SegVolPanel.setup_dialog import SetupAnswers, SetupDialog
from SegVolPanel.shortcuts import Shortcut, Shortcuts
from SegVolPanel.status_line import StatusLine
from SegVolPanel.weights_download import WeightsDownload


class Panel:
    """What the user sees of SegVol.

    Parameters
    ----------
    ui_folder
        Folder of the ``.ui`` files.

    Attributes
    ----------
    widget, ui
        The whole, and its parts by their names in ``SegVol.ui``.
    controller
        Volume, segments, prompts, engine.
    heartbeat
        Polls.
    """

    def __init__(self, ui_folder: str) -> None:
        self._ui_folder = Path(ui_folder)
        self.widget: Any = slicer.util.loadUI(str(self._ui_folder / "SegVol.ui"))
        self.ui: Any = slicer.util.childWidgetVariables(self.widget)
        self._settings = Settings()
        self._shown = False
        self._closed = False
        self._stopped_by_user = False
        self._asked = False
        self._last_line = ""
        self._was_running: set[str] = set()
        self._dialog: SetupDialog | None = None
        self._stale = False

        self.status = StatusLine(self.ui)
        attempt = attempts(self.status)
        self._engine = EngineSection(self.ui, self._settings, self._engine_actions())
        self.controller = SegVolController(
            slicer.mrmlScene,
            self._engine.choice.engine(),
            listener=self._hear,
            options=stored_options(self._settings),
        )
        download = WeightsDownload(lambda text, bad: self.status.notice(text, problem=bad))
        self._download = download
        self._preparation = Preparation(
            self.controller, download, lambda: self._engine.choice, self._start
        )
        self._data = DataSection(self.ui, self.controller, attempt)
        self._prompts = PromptSection(self.ui, self.controller, self.status, self.make_ready)
        self._run = RunSection(
            self.ui, self.controller, attempt, self.make_ready, self._preparation.cancel
        )
        self._results = ResultSection(
            self.ui, self.controller, self.status, attempt, self._settings
        )
        self._shortcuts = Shortcuts(slicer.util.mainWindow(), self._keys())
        self.ui.shortcutsLabel.setText(self._shortcuts.as_table())
        self.ui.shortcutsSection.collapsed = True
        self._memory = SceneMemory(slicer.mrmlScene, self.controller, self._scene_closes)
        self.heartbeat = Heartbeat(self.widget, self.poll)
        self._memory.recall()
        self._data.choose_what_is_selected()
        self._show(self.controller.state)

    # Being shown

    def enter(self) -> None:
        """Work: the module is shown."""
        self._shown = True
        self._asked = False
        self._engine.look_at_disk()
        self._prompts.set_markups_shown(True)
        self._shortcuts.activate()
        self.heartbeat.start()
        self.poll()

    def exit(self) -> None:
        """Let Slicer be: another module is shown. What is under way goes on."""
        self._shown = False
        self._prompts.stop_placing()
        self._prompts.set_markups_shown(False)
        self._shortcuts.deactivate()
        self.heartbeat.start(shown=False)

    def close(self) -> None:
        """End everything: the module is reloaded, or Slicer quits."""
        if self._closed:
            return
        self._closed = True
        self._prompts.stop_placing()
        self._shortcuts.deactivate()
        self.heartbeat.stop()
        self._preparation.cancel()
        self._memory.close()
        if self._dialog is not None:
            self._dialog.close()
        self._engine.close()
        self.controller.close()
        self._data.close()

    # Time passing

    def poll(self) -> None:
        """Look at the scene, the engine, and what is being brought."""
        if self._closed:
            return
        was_busy = self._preparation.busy
        self.controller.poll()
        self._preparation.poll()
        self._engine.poll()
        if was_busy and not self._preparation.busy:
            self._engine.look_at_disk()
        self._memory.remember()
        state = self.controller.state
        if self._shown and state.volume_node is not None and not self._stopped_by_user:
            self._start_if_nothing_is_missing()
        if state.running and state.engine is EngineState.OFF and not self._asked:
            self.make_ready()
        self._show(self.controller.state)
        if not self._shown and not self._busy:
            self.heartbeat.stop()

    @property
    def _busy(self) -> bool:
        """Whether something is under way that goes on while another module is shown."""
        return bool(self.controller.state.running) or self._preparation.busy

    # The engine

    def make_ready(self) -> None:
        """See to it that there is an engine; what is missing is asked for, all at once."""
        state = self.controller.state
        if not state.can_start_engine or self._preparation.busy:
            return
        self._engine.look_at_disk()
        missing = self._engine.missing
        if not missing:
            self._start()
        elif Missing.ADDRESS in missing or Missing.WEIGHTS_FILE in missing:
            self._engine.unfold()
        else:
            self._ask_for(missing)

    def _start(self) -> None:
        self._stopped_by_user = False
        if self._stale:
            self._stale = False
            self.controller.use_engine(self._engine.choice.engine())
        else:
            self.controller.start_engine()

    def _start_if_nothing_is_missing(self) -> None:
        state = self.controller.state
        off = state.engine is EngineState.OFF
        if off and not self._preparation.busy and not self._engine.missing:
            self._start()

    def _ask_for(self, missing: tuple[Missing, ...]) -> None:
        self._asked = True
        if self._dialog is not None:
            self._dialog.close()
        answers = SetupAnswers(
            go=lambda wheels: self._preparation.begin(missing, wheels),
            server=self._choose_server,
            later=lambda: None,
        )
        self._dialog = SetupDialog(str(self._ui_folder / "SegVolSetup.ui"), answers)
        self._dialog.ask(missing)

    def _choose_server(self) -> None:
        self.ui.placeBox.setCurrentIndex(1)
        self._engine.unfold()
        self.ui.urlEdit.setFocus()

    def _engine_actions(self) -> EngineActions:
        return EngineActions(
            choice_changed=self._choice_changed,
            start=self.make_ready,
            stop=self._stop,
            install=lambda: self._ask_for((Missing.PACKAGES,)),
            repair=lambda: self._change_packages("repair"),
            remove=lambda: self._change_packages("remove"),
            download=self._download_weights,
        )

    def _choice_changed(self) -> None:
        self._stale = True
        self._stopped_by_user = False
        if self.controller.state.engine is EngineState.OFF:
            return
        if self._engine.missing:
            self.controller.stop_engine()
        else:
            self._start()

    def _stop(self) -> None:
        self._stopped_by_user = True
        self.controller.stop_engine()

    def _change_packages(self, operation: Any) -> None:
        self._stopped_by_user = operation == "remove"
        self.controller.stop_engine()
        self._preparation.change_packages(operation)

    def _download_weights(self) -> None:
        missing = tuple(each for each in self._engine.missing if each is Missing.PACKAGES)
        if missing:
            self._ask_for((*missing, Missing.WEIGHTS))
        else:
            self._preparation.begin((Missing.WEIGHTS,), None, then_start=False)

    # What is shown

    def _hear(self, event: Event) -> None:
        if isinstance(event, StateChanged):
            if set(event.state.running) - self._was_running:
                self.status.forget_notice()
            self._was_running = set(event.state.running)
            self._show(event.state)
        elif isinstance(event, Said):
            self.status.notice(event.message, problem=event.problem)
        elif isinstance(event, PrintedLines):
            self._last_line = event.lines[-1]
            self._engine.add_log(event.lines)

    def _show(self, state: ControllerState) -> None:
        if self._closed:
            return
        busy = self._preparation.busy
        self._data.show(state)
        self._prompts.show(state)
        self._run.show(state, others_busy=busy)
        self._results.show(state)
        self._engine.show(state, busy=busy)
        circumstances = Circumstances(
            missing=self._engine.missing if state.engine is EngineState.OFF else (),
            downloading=self._download.message if self._download.running else "",
            last_line=self._last_line,
            placing=self._prompts.is_placing,
            any_volume=slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") > 0,
            auto_run=self.controller.options.auto_run,
        )
        self._say(sentence_of(state, circumstances))
        fraction = self._download.fraction if self._download.running else state.progress
        self.status.progress(fraction, busy=self._preparation.changing_packages)

    def _say(self, sentence: Sentence) -> None:
        actions = {"start": self.make_ready, "engine": self._engine.unfold}
        action = None
        if sentence.button is not None:
            action = (sentence.button, actions[sentence.button_does])
        self.status.show(sentence.text, problem=sentence.problem, action=action)

    def _keys(self) -> list[Shortcut]:
        prompts, run, data, ui = self._prompts, self._run, self._data, self.ui
        return [
            Shortcut("A", _("Click + on or off"), prompts.toggle_adding, ui.addButton),
            Shortcut("D", _("Click − on or off"), prompts.toggle_excluding, ui.excludeButton),
            Shortcut("X", _("Box"), prompts.toggle_box, ui.boxButton),
            Shortcut("N", _("Type a name"), prompts.focus_names, ui.nameEdit),
            Shortcut("Z", _("Undo"), run.undo),
            Shortcut("Shift+Z", _("Redo"), run.redo),
            Shortcut("M", _("Next segment"), data.next_segment, ui.nextButton),
            Shortcut("Shift+C", _("Clear the segment"), data.clear, ui.clearButton),
            Shortcut("Ctrl+Return", _("Run"), run.run, ui.runButton),
            Shortcut("Ctrl+.", _("Cancel"), run.cancel, ui.cancelButton),
        ]

    def _scene_closes(self) -> None:
        self._prompts.stop_placing()
        self.controller.cancel()
