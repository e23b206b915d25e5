"""Clicks, a box, and names."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from segvol_core.errors import OrganError, SegVolError
from segvol_core.prompts import Prompts
from SegVolLogic.controller import SegVolController
from SegVolLogic.segment_tags import stored_prompts
from SegVolLogic.states import ControllerState, Phase
from SegVolPanel.mouse_in_views import tell_views_where_the_mouse_is
from SegVolPanel.name_field import NameField
from SegVolPanel.placing import Placing
from SegVolPanel.status_line import StatusLine
from SegVolPanel.view_box import box_in_view

POSITIVE_COLOR, NEGATIVE_COLOR = "#1acc33", "#e61a1a"
"""As `SegVolLogic.prompt_nodes` colours the points."""

_CANNOT_PROMPT = (Phase.NO_VOLUME, Phase.VOLUME_REFUSED, Phase.CLOSED)


class PromptSection:
    """What the user says of a segment.

    Parameters
    ----------
    ui, controller, status
        Of the panel.
    make_ready
        Called with the first wish of the user: sees to it that there is an engine.
    """

    def __init__(
        self,
        ui: Any,
        controller: SegVolController,
        status: StatusLine,
        make_ready: Callable[[], None],
    ) -> None:
        self._ui = ui
        self._controller = controller
        self._status = status
        self._make_ready = make_ready
        self._placing = Placing(slicer.mrmlScene)
        self._segment_id: str | None = None
        self._names = NameField(ui.nameEdit, self.segment_names)
        ui.addButton.setIcon(_swatch(POSITIVE_COLOR))
        ui.excludeButton.setIcon(_swatch(NEGATIVE_COLOR))
        ui.addButton.connect("clicked()", self.toggle_adding)
        ui.excludeButton.connect("clicked()", self.toggle_excluding)
        ui.boxButton.connect("clicked()", self.toggle_box)
        ui.nameButton.connect("clicked()", self.segment_names)
        ui.nameHereButton.connect("clicked()", self._name_here)
        ui.nameEdit.connect("textChanged(QString)", lambda _text: self.show(controller.state))

    @property
    def offered_names(self) -> list[str]:
        """Names that the text field offers now."""
        return self._names.offered

    @property
    def is_placing(self) -> bool:
        """Whether a click in a view is a prompt."""
        return any(map(self._placing.is_on, self._points()))

    def show(self, state: ControllerState) -> None:
        """Show what clicks do now, and what can be done."""
        ui = self._ui
        can = state.phase not in _CANNOT_PROMPT and state.volume_node is not None
        typed = bool(self._names.text.strip())
        positive, negative = self._points()
        self._placing.look((positive, negative))
        self._begin_with_what_is_wanted(state)
        _set_checked(ui.addButton, self._placing.is_on(positive))
        _set_checked(ui.excludeButton, self._placing.is_on(negative))
        _set_checked(ui.boxButton, self._has_box(state))
        for widget in (ui.addButton, ui.excludeButton, ui.boxButton, ui.nameEdit):
            widget.setEnabled(can)
        ui.nameButton.setEnabled(can and typed)
        ui.nameHereButton.setEnabled(can and typed and state.has_prompts)

    def _begin_with_what_is_wanted(self, state: ControllerState) -> None:
        """Let clicks say again what belongs to a segment, where a new one is begun."""
        another = state.segment_id != self._segment_id
        self._segment_id = state.segment_id
        if another and not state.has_prompts and self._placing.is_on(self._points()[1]):
            self._placing.start(self._controller.points_node(positive=True))

    def toggle_adding(self) -> None:
        """Let clicks say what belongs to the segment, or be clicks again."""
        self._toggle(0)

    def toggle_excluding(self) -> None:
        """Let clicks say what does not belong to the segment, or be clicks again."""
        self._toggle(1)

    def toggle_box(self) -> None:
        """Put a box into the view, or take the segment's box away."""
        if self._has_box(self._controller.state):
            self._try(self._remove_box)
        elif self._ui.boxButton.enabled:
            self.stop_placing()
            self._try(self._add_box)
        self.show(self._controller.state)

    def focus_names(self) -> None:
        """Let the keys go to the text field."""
        self._names.focus()

    def segment_names(self) -> None:
        """Make a segment of each name that was typed."""
        if self._names.text.strip() and self._try(
            lambda: self._controller.segment_names(self._names.text)
        ):
            self._names.clear()
            self._make_ready()

    def stop_placing(self) -> None:
        """Let clicks be clicks again, if they were ours."""
        self._placing.stop(self._points())

    def set_markups_shown(self, shown: bool) -> None:
        """Show the prompts in the views only while the panel is shown."""
        for node in self._controller.prompt_nodes_there:
            if node.GetDisplayNode() is not None:
                node.GetDisplayNode().SetVisibility(shown)

    def _points(self) -> tuple[Any, Any]:
        """Our lists, the positive one first; None for one that is not there."""
        nodes = self._controller.prompt_nodes_there
        return nodes.positive, nodes.negative

    def _toggle(self, which: int) -> None:
        self._status.forget_notice()
        if self._placing.is_on(self._points()[which]):
            self.stop_placing()
        elif self._ui.addButton.enabled:
            self._placing.start(self._controller.points_node(positive=which == 0))
            tell_views_where_the_mouse_is()
            self._make_ready()
        self.show(self._controller.state)

    def _has_box(self, state: ControllerState) -> bool:
        prompts = _prompts_of(state)
        return prompts is not None and prompts.box is not None

    def _add_box(self) -> None:
        before = _prompts_of(self._controller.state)
        points, text = ((), None) if before is None else (before.points, before.text)
        box = box_in_view(slicer.mrmlScene, self._controller.state.volume_node)
        # It begins anywhere: what it is to hold is known once it has been dragged.
        options = self._controller.options
        self._controller.options = replace(options, auto_run=False)
        try:
            self._controller.set_prompts(Prompts(points, box, text))
        finally:
            self._controller.options = options
        self._status.notice(_("Drag the box round what you want: it is computed as you let go."))
        self._make_ready()

    def _remove_box(self) -> None:
        before = _prompts_of(self._controller.state)
        if before is not None:
            rest = None
            if before.points or before.text is not None:
                rest = Prompts(before.points, None, before.text)
            self._controller.set_prompts(rest)

    def _name_here(self) -> None:
        if self._try(lambda: self._controller.set_text(self._names.text)):
            self._names.clear()
            self._make_ready()

    def _try(self, action: Callable[[], Any]) -> bool:
        self._status.forget_notice()
        try:
            action()
        except SegVolError as error:
            self._status.notice(str(error), problem=True)
            if isinstance(error, OrganError):
                self._names.offer_near()
            return False
        return True


def _prompts_of(state: ControllerState) -> Prompts | None:
    """Prompts of the selected segment; None also if they cannot be read."""
    if state.segmentation_node is None or not state.has_prompts:
        return None
    return stored_prompts(state.segmentation_node, state.segment_id)


def _swatch(color: str) -> Any:
    """Icon of one colour."""
    pixmap = qt.QPixmap(10, 10)
    pixmap.fill(qt.QColor(color))
    return qt.QIcon(pixmap)


def _set_checked(button: Any, on: bool) -> None:
    if button.checked != on:
        button.setChecked(on)
