"""Volume, segmentation, and the table of segments, in which the selected one gets the prompts."""

from typing import Any

import qt
import slicer.util

from segvol_core.errors import SegVolError
from SegVolLogic.controller import SegVolController
from SegVolLogic.segment_grid import grid_for
from SegVolLogic.states import ControllerState
from SegVolPanel.attempt import Attempt

_TABLES_MESSAGE = "SegmentsTableMessageLabel"
_SINGLE_SELECTION = 1
"""QAbstractItemView.SingleSelection: Slicer's table takes it as a number."""


class DataSection:
    """What is segmented, and into what."""

    def __init__(self, ui: Any, controller: SegVolController, attempt: Attempt) -> None:
        self._ui = ui
        self._controller = controller
        self._attempt = attempt
        self._showing = False
        ui.segmentsTable.setSelectionMode(_SINGLE_SELECTION)
        ui.segmentsTable.opacityColumnVisible = False
        # The table's own "No node is selected", where a new one is made anyway.
        for label in ui.segmentsTable.findChildren(qt.QLabel, _TABLES_MESSAGE):
            label.setMaximumHeight(0)
        for widget in (ui.volumeSelector, ui.segmentationSelector, ui.segmentsTable):
            widget.setMRMLScene(slicer.mrmlScene)
        ui.volumeSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._volume_chosen)
        ui.segmentationSelector.connect(
            "currentNodeChanged(vtkMRMLNode*)", self._segmentation_chosen
        )
        ui.segmentsTable.connect(
            "selectionChanged(QItemSelection,QItemSelection)", self._segment_selected
        )
        ui.nextButton.connect("clicked()", self.next_segment)
        ui.clearButton.connect("clicked()", self.clear)
        ui.removeButton.connect("clicked()", self._remove)

    def choose_what_is_selected(self) -> None:
        """Take over the volume that is shown, or what the selector chose by itself."""
        if self._controller.state.volume_node is None:
            shown = _shown_volume()
            self._volume_chosen(self._ui.volumeSelector.currentNode() if shown is None else shown)

    def show(self, state: ControllerState) -> None:
        """Show what is chosen, and what can be done with it."""
        self._showing = True
        ui = self._ui
        if ui.volumeSelector.currentNode() is not state.volume_node:
            ui.volumeSelector.setCurrentNode(state.volume_node)
        if ui.segmentationSelector.currentNode() is not state.segmentation_node:
            ui.segmentationSelector.setCurrentNode(state.segmentation_node)
        if ui.segmentsTable.segmentationNode() is not state.segmentation_node:
            ui.segmentsTable.setSegmentationNode(state.segmentation_node)
        wanted = [] if state.segment_id is None else [state.segment_id]
        if list(ui.segmentsTable.selectedSegmentIDs()) != wanted:
            ui.segmentsTable.setSelectedSegmentIDs(wanted)
            _scroll_to_selection(ui.segmentsTable.tableWidget())
        ui.nextButton.setEnabled(state.segment_id is not None)
        ui.clearButton.setEnabled(state.can_clear)
        ui.removeButton.setEnabled(state.can_clear)
        self._showing = False

    def next_segment(self) -> None:
        """Let prompts go to a new segment."""
        self._attempt(self._controller.next_segment)

    def clear(self) -> None:
        """Empty the selected segment."""
        self._attempt(self._controller.clear)

    def close(self) -> None:
        """Let go of the scene."""
        self._showing = True
        for widget in (
            self._ui.volumeSelector,
            self._ui.segmentationSelector,
            self._ui.segmentsTable,
        ):
            widget.setMRMLScene(None)

    def _remove(self) -> None:
        segment_id = self._controller.state.segment_id
        if segment_id is not None:
            self._attempt(self._controller.remove_segment, segment_id)

    def _volume_chosen(self, node: Any) -> None:
        if self._showing:
            return
        state = self._controller.state
        # One who comes back from a volume without a segmentation goes on where one was.
        comes_back = state.volume_node is not None and state.segmentation_node is None
        if comes_back or not _fits(state.segmentation_node, node):
            self._attempt(self._controller.choose_segmentation, _segmentation_of(node))
        self._attempt(self._controller.choose_volume, node)
        display(node)

    def _segmentation_chosen(self, node: Any) -> None:
        if not self._showing and not self._attempt(self._controller.choose_segmentation, node):
            self.show(self._controller.state)

    def _segment_selected(self, *_selection: Any) -> None:
        if self._showing:
            return
        ids = list(self._ui.segmentsTable.selectedSegmentIDs())
        current = self._controller.state.segment_id
        if ids and ids[0] != current:
            self._attempt(self._controller.choose_segment, ids[0])


def _scroll_to_selection(table: Any) -> None:
    for row in table.selectionModel().selectedRows():
        table.scrollTo(row)


def _fits(segmentation: Any, volume: Any) -> bool:
    """Whether results on a volume can be written into a segmentation, or there is none to fit."""
    if segmentation is None or volume is None:
        return True
    try:
        grid_for(segmentation, volume)
    except SegVolError:
        return False
    return True


def _segmentation_of(volume: Any) -> Any:
    """The last segmentation that was made on a volume; None for a new one."""
    scene = slicer.mrmlScene
    nodes = [
        scene.GetNthNodeByClass(n, "vtkMRMLSegmentationNode")
        for n in range(scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode"))
    ]
    role = slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    made_on_it = [node for node in nodes if node.GetNodeReference(role) is volume]
    return made_on_it[-1] if made_on_it else None


def display(volume: Any) -> None:
    """Show a volume in the slice views, unless one of them shows it already."""
    # While a volume is being loaded it has no voxels, and Slicer shows it itself when it has.
    if volume is None or volume.GetImageData() is None:
        return
    if volume.GetID() not in {background for background, _foreground in _shown_in_views()}:
        logic = slicer.app.applicationLogic()
        logic.GetSelectionNode().SetActiveVolumeID(volume.GetID())
        logic.PropagateVolumeSelection()


def hidden_behind(volume: Any) -> str:
    """Name of the volume that the slice views show where none shows this one; or empty."""
    if volume is None or volume.GetImageData() is None:
        return ""
    shown = _shown_in_views()
    if any(volume.GetID() in layers for layers in shown):
        return ""
    others = (slicer.mrmlScene.GetNodeByID(background or "") for background, _foreground in shown)
    return next((str(other.GetName()) for other in others if other is not None), "")


def _shown_in_views() -> list[tuple[Any, Any]]:
    """IDs of the volumes in the background and in the foreground of each slice view, or None."""
    scene = slicer.mrmlScene
    views = (
        scene.GetNthNodeByClass(n, "vtkMRMLSliceCompositeNode")
        for n in range(scene.GetNumberOfNodesByClass("vtkMRMLSliceCompositeNode"))
    )
    return [(view.GetBackgroundVolumeID(), view.GetForegroundVolumeID()) for view in views]


def _shown_volume() -> Any:
    """The volume that Slicer shows; None if it is none that can be chosen."""
    selection = slicer.app.applicationLogic().GetSelectionNode()
    node = slicer.mrmlScene.GetNodeByID(selection.GetActiveVolumeID() or "")
    is_volume = node is not None and node.GetClassName() == "vtkMRMLScalarVolumeNode"
    return node if is_volume else None
