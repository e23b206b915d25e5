"""The panel as a whole: a controller, the sections, a timer; what begins and what ends."""

from pathlib import Path
from typing import Any

import slicer
import slicer.util
from slicer.i18n import tr as _

from SegVolLogic.controller import SegVolController
from SegVolLogic.engine import EngineStage
from SegVolLogic.events import Event, Placed, PrintedLines, ResultWritten, Said, StateChanged
from SegVolLogic.labelmap_layers import segment_of
from SegVolLogic.states import ControllerState, Phase
from SegVolPanel.attempt import attempts
from SegVolPanel.data_section import DataSection, display, hidden_behind
from SegVolPanel.engine_keeper import EngineKeeper
from SegVolPanel.engine_section import stored_choice
from SegVolPanel.heartbeat import Heartbeat
from SegVolPanel.installation_news import InstallationNews
from SegVolPanel.listening import Listening
from SegVolPanel.lit_buttons import light_while_on
from SegVolPanel.name_suggestions import NameSuggestions
from SegVolPanel.prompt_section import PromptSection
from SegVolPanel.result_section import ResultSection, stored_options
from SegVolPanel.run_section import REDO_KEY, UNDO_KEY, RunSection
from SegVolPanel.scene_memory import SceneMemory
from SegVolPanel.sentences import Circumstances, Sentence, sentence_of
from SegVolPanel.settings import Settings
from SegVolPanel.shortcuts import Shortcut, Shortcuts
from SegVolPanel.status_line import StatusLine

_LARGE_ML = 100.0
"""From which on nobody wants to know parts of a millilitre."""


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
        folder, settings = Path(ui_folder), Settings()
        self.widget: Any = slicer.util.loadUI(str(folder / "SegVol.ui"))
        self.ui: Any = slicer.util.childWidgetVariables(self.widget)
        self._shown = False
        self._closed = False
        light_while_on(
            (self.ui.addButton, self.ui.excludeButton, self.ui.boxButton, self.ui.show3DButton)
        )
        self._news = InstallationNews()
        self._was_running: set[str] = set()

        self.status = StatusLine(self.ui)
        attempt = attempts(self.status)
        self.controller = SegVolController(
            slicer.mrmlScene,
            stored_choice(settings).engine(),
            listener=self._hear,
            options=stored_options(settings),
        )
        self._engine = EngineKeeper(self.ui, self.controller, self.status, settings, folder)
        make_ready = self._engine.make_ready
        self._data = DataSection(self.ui, self.controller, attempt)
        self._prompts = PromptSection(self.ui, self.controller, self.status, make_ready)
        self._suggestions = NameSuggestions(self.ui, self.controller, attempt)
        self._run = RunSection(self.ui, self.controller, attempt, make_ready, self._engine.cancel)
        self._results = ResultSection(self.ui, self.controller, self.status, attempt, settings)
        self._shortcuts = Shortcuts(slicer.util.mainWindow(), self._keys())
        self.ui.shortcutsLabel.setText(self._shortcuts.as_table())
        self.ui.shortcutsSection.collapsed = True
        self._memory = SceneMemory(slicer.mrmlScene, self.controller, self._scene_closes)
        self.heartbeat = Heartbeat(self.widget, self.poll, self._fault)
        self._listening = Listening(self.widget, self.controller.has_news, self.heartbeat.soon)
        self._memory.recall()
        self._data.choose_what_is_selected()
        self._show(self.controller.state)

    # Being shown

    def enter(self) -> None:
        """Work: the module is shown."""
        self._shown = True
        self._engine.enter()
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
        self._listening.go_on(False)
        self._memory.close()
        self._results.close()
        self._engine.close()
        self.controller.close()
        self._data.close()

    # Time passing

    def poll(self) -> None:
        """Look at the scene, the engine, and what is being brought."""
        if self._closed or self._memory.scene_is_changing:
            return
        self._memory.recall_if_read()
        self.controller.poll()
        self._engine.poll(shown=self._shown)
        self._memory.remember()
        state = self.controller.state
        self._show(state)
        if not (self._shown or self.controller.busy or self._engine.busy):
            self.heartbeat.stop()
        waiting = state.phase in (Phase.UPLOADING, Phase.RUNNING)
        self._listening.go_on(waiting and self.heartbeat.running)

    # What is shown

    def _hear(self, event: Event) -> None:
        if isinstance(event, StateChanged):
            if set(event.state.running) - self._was_running:
                self.status.forget_notice()
            self._was_running = set(event.state.running)
            self._show(event.state)
        elif isinstance(event, Said):
            self.status.notice(event.message, problem=event.problem)
        elif isinstance(event, ResultWritten) and event.stage is EngineStage.FINAL:
            self._say_how_large(event)
        elif isinstance(event, Placed):
            self.heartbeat.soon()
        elif isinstance(event, PrintedLines):
            self._news.hear(event.lines)
            self._engine.add_log(event.lines)

    def _say_how_large(self, result: ResultWritten) -> None:
        segment = segment_of(self.controller.state.segmentation_node, result.segment_id)
        ml = f"{result.ml:.0f}" if result.ml >= _LARGE_ML else f"{result.ml:.2f}"
        self.status.notice(_("{name}: {ml} ml.").format(name=segment.GetName(), ml=ml))

    def _show(self, state: ControllerState) -> None:
        if self._closed:
            return
        engine = self._engine
        if not engine.changing_packages:
            self._news.forget()
        self._data.show(state)
        self._prompts.show(state)
        self._suggestions.show(state)
        self._run.show(state, others_busy=engine.busy)
        self._results.show(state)
        engine.show()
        circumstances = Circumstances(
            missing=engine.missing,
            downloading=engine.download.message if engine.download.running else "",
            installing=self._news.sentence(engine.package_job),
            placing=self._prompts.is_placing,
            any_volume=slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") > 0,
            auto_run=self.controller.options.auto_run,
            hidden_behind=hidden_behind(state.volume_node),
        )
        self._say(sentence_of(state, circumstances))
        fraction = engine.download.fraction if engine.download.running else state.progress
        self.status.progress(fraction, busy=engine.changing_packages)

    def _say(self, sentence: Sentence) -> None:
        actions = {
            "start": self._engine.make_ready,
            "engine": self._engine.unfold,
            "show volume": self._show_volume,
        }
        action = None
        if sentence.button is not None:
            action = (sentence.button, actions[sentence.button_does])
        self.status.show(sentence.text, problem=sentence.problem, action=action)

    def _show_volume(self) -> None:
        display(self.controller.state.volume_node)

    def _keys(self) -> list[Shortcut]:
        prompts, run, data, ui = self._prompts, self._run, self._data, self.ui
        return [
            Shortcut("A", _("Click + on or off"), prompts.toggle_adding, ui.addButton),
            Shortcut("D", _("Click − on or off"), prompts.toggle_excluding, ui.excludeButton),
            Shortcut("X", _("Box"), prompts.toggle_box, ui.boxButton),
            Shortcut("N", _("Type a name"), prompts.focus_names, ui.nameEdit),
            Shortcut(UNDO_KEY, _("Undo"), run.undo),
            Shortcut(REDO_KEY, _("Redo"), run.redo),
            Shortcut("M", _("Next segment"), data.next_segment, ui.nextButton),
            Shortcut("Shift+C", _("Clear the segment"), data.clear, ui.clearButton),
            Shortcut("Ctrl+Return", _("Run"), run.run, ui.runButton),
            Shortcut("Ctrl+.", _("Cancel"), run.cancel, ui.cancelButton),
        ]

    def _fault(self) -> None:
        self.status.notice(
            _("SegVol has made a mistake: the Python console says which. It tries to go on."),
            problem=True,
        )

    def _scene_closes(self) -> None:
        self._prompts.stop_placing()
        self._results.close()
        self.controller.cancel()
