"""How results are made, and what can be done with them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import slicer
from slicer.i18n import tr as _

from SegVolLogic.controller import SegVolController
from SegVolLogic.measurements import table_in_steps
from SegVolLogic.segment_writer import Overlap
from SegVolLogic.states import ControllerState, Options
from SegVolLogic.surfaces import hide_surfaces, surfaces_in_steps, surfaces_shown
from SegVolPanel.attempt import Attempt
from SegVolPanel.in_steps import InSteps
from SegVolPanel.settings import Settings
from SegVolPanel.status_line import StatusLine
from SegVolPanel.table_view import show_a_table
from SegVolPanel.three_d_views import look_at_everything

_OVERLAPS = (Overlap.ALLOW, Overlap.AVOID, Overlap.OVERWRITE)


def stored_options(settings: Settings) -> Options:
    """Options as they were left."""
    named = {overlap.value: overlap for overlap in _OVERLAPS}
    return Options(
        auto_run=settings.flag("autoRun", True),
        overlap=named.get(settings.text("overlap"), Overlap.ALLOW),
        keep_largest=settings.flag("keepLargest", False),
    )


class ResultSection:
    """Overlap, islands, surfaces, and the table of volumes."""

    def __init__(
        self,
        ui: Any,
        controller: SegVolController,
        status: StatusLine,
        attempt: Attempt,
        settings: Settings,
    ) -> None:
        self._ui = ui
        self._controller = controller
        self._status = status
        self._attempt = attempt
        self._settings = settings
        self._steps = InSteps(ui.resultSection, status)
        for text in (
            _("Leave other segments as they are"),
            _("Leave out what is in other segments"),
            _("Take it from the other segments"),
        ):
            ui.overlapBox.addItem(text)
        options = controller.options
        ui.autoRunBox.setChecked(options.auto_run)
        ui.overlapBox.setCurrentIndex(_OVERLAPS.index(options.overlap))
        ui.keepLargestBox.setChecked(options.keep_largest)
        ui.smoothingSlider.setValue(settings.number("smoothing", 5))
        ui.resultSection.collapsed = settings.flag("resultCollapsed", False)
        ui.autoRunBox.connect("toggled(bool)", self._options_changed)
        ui.overlapBox.connect("currentIndexChanged(int)", self._options_changed)
        ui.keepLargestBox.connect("toggled(bool)", self._options_changed)
        ui.smoothingSlider.connect("sliderReleased()", self._smoothing_changed)
        ui.smoothingSlider.connect("valueChanged(int)", self._smoothing_moved)
        ui.show3DButton.connect("clicked()", self._toggle_surfaces)
        ui.tableButton.connect("clicked()", self._add_table)
        ui.resultSection.connect(
            "contentsCollapsed(bool)", lambda on: settings.store("resultCollapsed", on)
        )

    def show(self, state: ControllerState) -> None:
        """Show whether there are surfaces, and what can be done."""
        node = state.segmentation_node
        has_segments = node is not None and node.GetSegmentation().GetNumberOfSegments() > 0
        shown = has_segments and surfaces_shown(node)
        if self._ui.show3DButton.checked != shown:
            self._ui.show3DButton.setChecked(shown)
        self._ui.show3DButton.setEnabled(has_segments)
        self._ui.tableButton.setEnabled(has_segments and state.volume_node is not None)

    @property
    def _smoothing(self) -> float:
        return float(self._ui.smoothingSlider.value) / 10

    def _options_changed(self, *_value: Any) -> None:
        ui = self._ui
        options = replace(
            self._controller.options,
            auto_run=bool(ui.autoRunBox.checked),
            overlap=_OVERLAPS[ui.overlapBox.currentIndex],
            keep_largest=bool(ui.keepLargestBox.checked),
        )
        self._controller.options = options
        self._settings.store("autoRun", options.auto_run)
        self._settings.store("overlap", options.overlap.value)
        self._settings.store("keepLargest", options.keep_largest)

    def _smoothing_moved(self, value: int) -> None:
        self._settings.store("smoothing", value)
        if not self._ui.smoothingSlider.isSliderDown():
            self._smoothing_changed()

    def _smoothing_changed(self) -> None:
        node = self._controller.state.segmentation_node
        if node is not None and surfaces_shown(node):
            self._make_surfaces(node, self._status.forget_notice)

    def _toggle_surfaces(self) -> None:
        node = self._controller.state.segmentation_node
        if node is None:
            return
        if surfaces_shown(node):
            self._steps.stop()
            self._attempt(hide_surfaces, node)
        else:
            self._make_surfaces(node, self._surfaces_are_there)
        self.show(self._controller.state)

    def _make_surfaces(self, node: Any, then: Callable[[], None]) -> None:
        says = _("Making surfaces: {number} of {count} …")
        steps = surfaces_in_steps(node, smoothing=self._smoothing)
        self._steps.begin(says, steps, lambda _result: then())

    def _surfaces_are_there(self) -> None:
        self._status.forget_notice()
        look_at_everything()
        self.show(self._controller.state)

    def _add_table(self) -> None:
        state = self._controller.state
        if state.segmentation_node is None or state.volume_node is None:
            return
        says = _("Measuring {number} of {count} …")
        steps = table_in_steps(state.segmentation_node, state.volume_node)
        self._steps.begin(says, steps, self._show_table)

    def close(self) -> None:
        """End what is under way."""
        self._steps.stop()

    def _show_table(self, table: Any) -> None:
        show_a_table()
        selection = slicer.mrmlScene.GetNodeByID("vtkMRMLSelectionNodeSingleton")
        selection.SetActiveTableID(table.GetID())
        slicer.app.applicationLogic().PropagateTableSelection()
        self._status.notice(_("“{name}” is in the scene.").format(name=table.GetName()))
