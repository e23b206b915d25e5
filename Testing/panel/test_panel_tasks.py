"""A user's tasks in the panel, with the real inference process and the starter."""

import sys
import time
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import slicer
from desk import BODY_IJK, ORGAN_IJK, SECOND_IJK
from PySide6.QtCore import Qt
from PySide6.QtGui import QCursor
from PySide6.QtTest import QTest
from scenes import world_of
from tasks import click_organ, in_place_mode, interaction, prompts

from SegVolLogic.engine import EngineStage
from SegVolLogic.events import ResultWritten
from SegVolLogic.surfaces import surfaces_shown
from SegVolLogic.volume_node import volume_of


def test_clicks_go_on_until_they_are_switched_off(desk, volume):
    desk.click(desk.ui.addButton)
    assert desk.ui.addButton.checked
    desk.place(volume, ORGAN_IJK)
    desk.place(volume, SECOND_IJK)
    desk.panel.poll()
    desk.wait()
    assert len(prompts(desk).points) == 2
    assert desk.has(volume, ORGAN_IJK)
    desk.click(desk.ui.excludeButton)
    assert desk.ui.excludeButton.checked
    assert not desk.ui.addButton.checked
    desk.place(volume, BODY_IJK)
    desk.panel.poll()
    desk.wait()
    assert [point.positive for point in prompts(desk).points] == [True, True, False]
    desk.click(desk.ui.excludeButton)
    assert not in_place_mode()
    assert not desk.ui.excludeButton.checked


def test_place_mode_left_in_slicers_tool_bar_is_seen(desk, volume):
    desk.click(desk.ui.addButton)
    interaction().SetCurrentInteractionMode(interaction().ViewTransform)
    desk.panel.poll()
    assert not desk.ui.addButton.checked


def test_lists_of_points_that_are_deleted_come_back_with_their_points(desk, volume):
    click_organ(desk, volume)
    nodes = desk.controller.prompt_nodes
    desk.scene.RemoveNode(nodes.positive)
    desk.panel.poll()
    assert not in_place_mode()
    assert not desk.ui.addButton.checked
    assert len(prompts(desk).points) == 1
    click_organ(desk, volume, SECOND_IJK)
    assert len(prompts(desk).points) == 2


def test_what_goes_on_is_seen_while_it_goes_on(desk, volume):
    desk.wait()
    desk.click(desk.ui.addButton)
    assert not desk.ui.cancelButton.enabled
    desk.place(volume, ORGAN_IJK)
    desk.panel.poll()
    assert desk.state.running
    assert "Computing Segment_1" in desk.said
    assert desk.ui.cancelButton.enabled
    assert desk.ui.progressBar.enabled
    desk.wait()
    desk.panel.poll()
    assert not desk.ui.cancelButton.enabled
    assert not desk.ui.progressBar.enabled


def test_the_final_mask_comes_last_and_once(make_desk, process, monkeypatch):
    from SegVolPanel.panel import Panel  # noqa: PLC0415 - needs the stand-in

    stages = []
    original = Panel._hear

    def hear(panel, event):
        if isinstance(event, ResultWritten):
            stages.append(event.stage)
        original(panel, event)

    monkeypatch.setattr(Panel, "_hear", hear)
    desk = make_desk(place="server", serverUrl=process.url, serverToken=process.token)
    click_organ(desk, desk.add_volume())
    # The starter is often done before anybody has asked for its coarse mask.
    assert stages[-1] is EngineStage.FINAL
    assert stages[:-1] in ([], [EngineStage.COARSE])


def test_neither_a_click_nor_its_answer_waits_for_the_panels_timer(desk, volume):
    desk.wait()
    desk.click(desk.ui.addButton)
    desk.panel.heartbeat._timer.setInterval(600_000)
    desk.place(volume, ORGAN_IJK)
    desk.until(lambda: desk.state.running)
    desk.wait()
    assert desk.has(volume, ORGAN_IJK)
    assert not desk.panel._listening.listens


@contextmanager
def answers_on_their_way(desk, monkeypatch):
    """On a fast machine one would come before the next button is pressed."""
    with monkeypatch.context() as late:
        late.setattr(desk.controller._requests.engine, "poll", list)
        yield


def test_cancelling_leaves_the_prompts_and_run_goes_on_with_them(desk, volume, monkeypatch):
    desk.wait()
    desk.click(desk.ui.addButton)
    with answers_on_their_way(desk, monkeypatch):
        desk.place(volume, ORGAN_IJK)
        desk.panel.poll()
        desk.click(desk.ui.cancelButton)
    assert not desk.state.running
    assert len(prompts(desk).points) == 1
    assert not desk.mask(volume).any()
    desk.click(desk.ui.runButton)
    desk.wait()
    assert desk.mask(volume).any()


def test_undo_and_redo_take_prompts_and_voxels(desk, volume):
    assert not desk.ui.undoButton.enabled
    click_organ(desk, volume)
    mask = desk.mask(volume)
    assert "add point" in desk.ui.undoButton.toolTip
    desk.click(desk.ui.undoButton)
    assert desk.names() == []
    assert not desk.ui.undoButton.enabled
    desk.click(desk.ui.redoButton)
    np.testing.assert_array_equal(desk.mask(volume), mask)
    assert not desk.ui.redoButton.enabled


def test_next_clear_and_remove(desk, volume):
    assert not desk.ui.nextButton.enabled
    first = click_organ(desk, volume)
    desk.click(desk.ui.nextButton)
    second = click_organ(desk, volume, BODY_IJK)
    assert second != first
    assert desk.names() == ["Segment_1", "Segment_2"]
    desk.click(desk.ui.clearButton)
    assert not desk.mask(volume, second).any()
    assert desk.mask(volume, first).any()
    desk.click(desk.ui.removeButton)
    assert desk.names() == ["Segment_1"]
    assert not desk.ui.removeButton.enabled


def test_a_segment_selected_in_the_table_gets_the_prompts(desk, volume):
    first = click_organ(desk, volume)
    desk.click(desk.ui.nextButton)
    second = click_organ(desk, volume, BODY_IJK)
    assert desk.ui.segmentsTable.selectedSegmentIDs() == [second]
    desk.ui.segmentsTable.setSelectedSegmentIDs([first])
    assert desk.state.segment_id == first
    positive = desk.controller.prompt_nodes.positive
    assert positive.GetNumberOfControlPoints() == 1
    np.testing.assert_allclose(
        positive.GetNthControlPointPositionWorld(0), world_of(volume, ORGAN_IJK), atol=1e-3
    )
    click_organ(desk, volume, SECOND_IJK)
    assert len(prompts(desk).points) == 2
    assert desk.state.segment_id == first


def test_a_box_appears_in_the_view_and_runs_when_it_was_dragged(desk, volume):
    desk.wait()
    desk.click(desk.ui.boxButton)
    assert desk.ui.boxButton.checked
    assert not desk.state.running
    assert "Drag the box" in desk.said
    box = desk.controller.prompt_nodes.box
    low, high = np.min(prompts(desk).box.corners, 0), np.max(prompts(desk).box.corners, 0)
    bounds = [0.0] * 6
    volume.GetRASBounds(bounds)
    assert (low >= np.array(bounds[0::2]) - 1e-3).all()
    assert (high <= np.array(bounds[1::2]) + 1e-3).all()
    box.InvokeEvent(box.PointStartInteractionEvent)
    box.SetCenterWorld(*world_of(volume, ORGAN_IJK))
    box.SetSize(66, 66, 56)
    desk.panel.poll()
    assert not desk.state.running
    box.InvokeEvent(box.PointEndInteractionEvent)
    desk.panel.poll()
    desk.wait()
    assert desk.has(volume, ORGAN_IJK)
    desk.click(desk.ui.boxButton)
    assert not desk.ui.boxButton.checked
    assert desk.state.has_prompts is False


def test_the_box_is_as_wide_as_half_the_view(desk, volume):
    view = slicer.vtkMRMLSliceNode()
    view.SetLayoutName("Red")
    view.SetName("Red")
    desk.scene.AddNode(view)
    view.SetMappedInLayout(1)
    view.SetFieldOfView(120, 80, 1)
    x, y, z = world_of(volume, ORGAN_IJK)
    view.SetSliceToRASByNTP(0, 0, 1, -1, 0, 0, x, y, z, 0)
    desk.click(desk.ui.boxButton)
    corners = np.array(prompts(desk).box.corners)
    np.testing.assert_allclose(np.ptp(corners, axis=0), (60, 40, 40), atol=1e-3)
    np.testing.assert_allclose(corners.mean(axis=0), (x, y, z), atol=1e-3)


def test_without_auto_run_prompts_wait_for_run(desk, volume):
    desk.wait()
    desk.click(desk.ui.autoRunBox)
    desk.click(desk.ui.addButton)
    desk.place(volume, ORGAN_IJK)
    desk.panel.poll()
    assert not desk.state.running
    desk.click(desk.ui.addButton)
    desk.panel.poll()
    assert "Click Run" in desk.said
    desk.click(desk.ui.runButton)
    desk.wait()
    assert desk.mask(volume).any()


def test_a_result_says_how_large_it_is(desk, volume):
    click_organ(desk, volume)
    ml = np.count_nonzero(desk.mask(volume)) * volume_of(volume).voxel_ml
    assert 10 < ml < 1000
    assert desk.said == (f"Segment_1: {ml:.2f} ml." if ml < 100 else f"Segment_1: {ml:.0f} ml.")
    desk.panel._hear(ResultWritten(desk.state.segment_id, EngineStage.FINAL, 7.254))
    assert desk.said == "Segment_1: 7.25 ml."
    desk.panel._hear(ResultWritten(desk.state.segment_id, EngineStage.FINAL, 1235.4))
    assert desk.said == "Segment_1: 1235 ml."


def test_what_was_cancelled_before_its_first_mask_waits_for_run(desk, volume, monkeypatch):
    desk.wait()
    desk.ui.nameEdit.setText("liver")
    with answers_on_their_way(desk, monkeypatch):
        desk.click(desk.ui.nameButton)
        desk.key("Ctrl+.")
    desk.panel.status.forget_notice()
    desk.panel.poll()
    assert "Click Run" in desk.said
    desk.click(desk.ui.runButton)
    desk.wait()
    desk.panel.status.forget_notice()
    desk.panel.poll()
    assert "Refine it" in desk.said


def test_a_new_segment_begins_with_what_is_wanted(desk, volume):
    click_organ(desk, volume)
    desk.key("D")
    assert desk.ui.excludeButton.checked
    desk.key("M")
    desk.panel.poll()
    assert desk.ui.addButton.checked
    assert not desk.ui.excludeButton.checked


def test_a_click_without_a_move_of_the_mouse_is_one(desk, volume):
    desk.wait()
    red = slicer.app.layoutManager().red
    red.setGeometry(100, 100, 200, 150)
    red.show()
    QCursor.setPos(130, 120)
    desk.key("A")
    assert red._moves == [(60, 300 - 1 - 40)]
    red.hide()


def test_surfaces_and_their_smoothing(desk, volume):
    assert not desk.ui.show3DButton.enabled
    click_organ(desk, volume)
    node = desk.state.segmentation_node
    desk.click(desk.ui.show3DButton)
    assert "Making surfaces: 1 of 1" in desk.said
    desk.until(lambda: surfaces_shown(node))
    desk.panel.poll()
    assert slicer.app.layoutManager().threeDView().resets[-2:] == ["focal point", "camera"]
    assert desk.ui.show3DButton.checked
    desk.ui.smoothingSlider.setValue(0)
    parameter = node.GetSegmentation().GetConversionParameter
    desk.until(lambda: parameter("Smoothing factor") == "0.0")
    assert surfaces_shown(node)
    desk.click(desk.ui.show3DButton)
    assert not surfaces_shown(node)


def test_the_segment_that_gets_the_prompts_is_seen_in_a_long_table(desk, volume):
    for _ in range(15):
        desk.controller.set_text("liver")
        desk.click(desk.ui.nextButton)
    desk.panel.poll()
    table = desk.ui.segmentsTable.tableWidget()
    (row,) = table.selectionModel().selectedRows()
    assert row.row() == 15
    desk.events()
    assert table.viewport().rect().contains(table.visualRect(row).center())


def test_overlap_and_islands_are_as_chosen_and_remembered(desk, volume, make_desk):
    first = click_organ(desk, volume)
    desk.choose(desk.ui.overlapBox, 1)
    desk.click(desk.ui.keepLargestBox)
    desk.click(desk.ui.nextButton)
    second = click_organ(desk, volume)
    assert not (desk.mask(volume, first) & desk.mask(volume, second)).any()
    desk.choose(desk.ui.overlapBox, 2)
    before = desk.mask(volume, first)
    desk.click(desk.ui.undoButton)
    desk.ui.segmentsTable.setSelectedSegmentIDs([first])
    desk.click(desk.ui.nextButton)
    click_organ(desk, volume)
    assert desk.mask(volume, first).sum() < before.sum()
    options = desk.controller.options
    desk.close()
    desk.open()
    assert desk.controller.options == options
    assert desk.ui.overlapBox.currentIndex == 2
    assert desk.ui.keepLargestBox.checked


def test_a_stray_click_is_said_and_changes_nothing(desk, volume):
    click_organ(desk, volume)
    before = desk.mask(volume)
    desk.place(volume, (300, 45, 20))
    desk.panel.poll()
    assert "outside the volume" in desk.said
    assert len(prompts(desk).points) == 1
    np.testing.assert_array_equal(desk.mask(volume), before)
    click_organ(desk, volume, SECOND_IJK)
    assert "outside" not in desk.said


def test_only_what_does_not_belong_is_not_enough(desk, volume):
    desk.click(desk.ui.excludeButton)
    desk.place(volume, BODY_IJK)
    desk.panel.poll()
    assert "only negative" in desk.said
    assert desk.names() == []


def test_the_window_never_waits_long(desk, volume, monkeypatch):
    desk.wait()
    # The processor's time of this thread: what others do on this computer is not counted.
    clock = SimpleNamespace(perf_counter=time.thread_time)
    monkeypatch.setattr(sys.modules["SegVolPanel.heartbeat"], "time", clock)
    desk.panel.heartbeat.longest_seconds = 0.0
    click_organ(desk, volume)
    desk.type("liver, spleen")
    QTest.keyClick(desk.ui.nameEdit, Qt.Key.Key_Return)
    desk.wait()
    assert desk.panel.heartbeat.longest_seconds < 0.1
