"""Several volumes and segmentations in the panel, and volumes that cannot be segmented."""

import numpy as np
import pytest
import slicer
from desk import ORGAN_IJK, body
from scenes import bend
from tasks import click_organ, in_place_mode


def test_who_comes_back_to_a_volume_goes_on_with_its_segmentation(desk, volume):
    click_organ(desk, volume)
    segmentation, segment_id = desk.state.segmentation_node, desk.state.segment_id
    other = slicer.util.addVolumeFromArray(body(1)[:20], np.diag([-2.0, -2.0, 3.0, 1.0]), "Other")
    desk.ui.volumeSelector.setCurrentNode(other)
    assert desk.state.segmentation_node is None
    desk.ui.volumeSelector.setCurrentNode(volume)
    assert desk.state.segmentation_node is segmentation
    assert desk.state.segment_id == segment_id


def test_a_table_of_volumes(desk, volume):
    click_organ(desk, volume)
    desk.click(desk.ui.tableButton)
    desk.until(lambda: desk.scene.GetFirstNodeByClass("vtkMRMLTableNode") is not None)
    table = desk.scene.GetFirstNodeByClass("vtkMRMLTableNode")
    assert table.GetCellText(0, 0) == "Segment_1"
    assert table.GetName() in desk.said
    # Four views and a table, in place of four views.
    assert slicer.app.layoutManager().layout == 35


def test_a_measurement_that_fails_in_slicer_ends_and_is_said(desk, volume, monkeypatch):
    def broken(*_nodes):
        yield 1, 2
        raise RuntimeError("Slicer's own fault")

    monkeypatch.setattr("SegVolPanel.result_section.table_in_steps", broken)
    click_organ(desk, volume)
    desk.click(desk.ui.tableButton)
    with pytest.raises(RuntimeError, match="own fault"):
        desk.panel._results._steps._step()
    assert "went wrong" in desk.said
    assert not desk.panel._results._steps.running


def test_views_that_show_another_volume_are_said_and_can_be_turned_back(desk, volume):
    view = desk.scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode")
    view.SetBackgroundVolumeID(volume.GetID())
    click_organ(desk, volume)
    other = desk.add_volume(seed=1, name="CT 2")
    view.SetBackgroundVolumeID(other.GetID())
    desk.panel.status.forget_notice()
    desk.panel.poll()
    assert "The views show “CT 2”" in desk.said
    assert desk.ui.statusButton.text == "Show it"
    other.SetName(volume.GetName())
    desk.panel.poll()
    assert f"another volume of the name “{volume.GetName()}”" in desk.said
    desk.click(desk.ui.statusButton)
    selection = slicer.app.applicationLogic().GetSelectionNode()
    assert selection.GetActiveVolumeID() == volume.GetID()
    view.SetForegroundVolumeID(volume.GetID())
    desk.panel.poll()
    assert "The views show" not in desk.said


def test_without_a_volume_nothing_can_be_pressed(desk):
    assert "Load a CT" in desk.said
    for button in ("addButton", "excludeButton", "boxButton", "runButton", "nextButton"):
        assert not getattr(desk.ui, button).enabled, button
    assert not desk.ui.nameEdit.enabled
    for key in ("A", "D", "X", "N", "Z", "Shift+Z", "M", "Shift+C", "Ctrl+Return", "Ctrl+."):
        desk.key(key)
    assert not in_place_mode()


def test_a_volume_that_cannot_be_segmented_is_said(desk, volume):
    bend(desk.scene, volume)
    desk.panel.poll()
    assert "bends space" in desk.said
    assert not desk.ui.addButton.enabled
    volume.SetAndObserveTransformNodeID(None)
    desk.panel.poll()
    assert desk.ui.addButton.enabled


def test_two_volumes(desk, volume):
    click_organ(desk, volume)
    other = desk.add_volume(seed=1, name="CT 2")
    desk.ui.volumeSelector.setCurrentNode(other)
    assert desk.state.volume_node is other
    desk.ui.segmentationSelector.setCurrentNode(None)
    click_organ(desk, other)
    assert desk.state.segmentation_node.GetName() == "CT 2 segmentation"
    assert desk.has(other, ORGAN_IJK)
    desk.ui.volumeSelector.setCurrentNode(volume)
    desk.wait()
    nodes = desk.scene.GetNodesByClass("vtkMRMLSegmentationNode")
    nodes.UnRegister(None)
    assert nodes.GetNumberOfItems() == 2


def test_another_volume_brings_the_segmentation_that_was_made_on_it(desk, volume):
    click_organ(desk, volume)
    first = desk.state.segmentation_node
    other = slicer.util.addVolumeFromArray(body(1), np.diag([-2.0, -2.0, 4.0, 1.0]), "CT 2")
    desk.panel.poll()
    desk.ui.volumeSelector.setCurrentNode(other)
    desk.panel.poll()
    assert desk.state.segmentation_node is None
    assert "do not coincide" not in desk.said
    click_organ(desk, other)
    assert desk.state.segmentation_node.GetName() == "CT 2 segmentation"
    desk.ui.volumeSelector.setCurrentNode(volume)
    desk.panel.poll()
    assert desk.state.segmentation_node is first
    assert desk.names() == ["Segment_1"]


def test_a_rotated_volume_gets_its_segment_in_its_place(desk):
    volume = desk.add_volume()
    transform = desk.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    angle = 0.4
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix[:3, 3] = (10, -20, 30)
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    volume.SetAndObserveTransformNodeID(transform.GetID())
    click_organ(desk, volume)
    assert desk.has(volume, ORGAN_IJK)


def test_another_segmentation_keeps_its_segments(desk, volume):
    node = desk.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "By hand")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    node.GetSegmentation().AddEmptySegment("mine", "Mine")
    desk.ui.segmentationSelector.setCurrentNode(node)
    click_organ(desk, volume)
    assert desk.names() == ["Mine", "Segment_1"]
