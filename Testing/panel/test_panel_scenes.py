"""The panel left and closed, and scenes closed, saved and opened under it."""

import gc
import weakref

import numpy as np
import pytest
import slicer
from desk import ORGAN_IJK
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLabel
from tasks import click_organ, in_place_mode, interaction, prompts


def test_leaving_the_module_lets_slicer_be_and_results_still_come(desk, volume):
    desk.wait()
    desk.click(desk.ui.addButton)
    desk.place(volume, ORGAN_IJK)
    desk.panel.poll()
    desk.module.exit()
    assert not in_place_mode()
    positive = desk.controller.prompt_nodes.positive
    assert not positive.GetDisplayNode().GetVisibility()
    desk.key("A")
    assert not in_place_mode()
    desk.wait()
    assert desk.mask(volume).any()
    desk.module.enter()
    assert positive.GetDisplayNode().GetVisibility()


def test_the_scene_closed_while_running(desk, volume):
    desk.wait()
    desk.click(desk.ui.addButton)
    desk.place(volume, ORGAN_IJK)
    desk.panel.poll()
    assert desk.state.running
    desk.scene.Clear(0)
    desk.events()
    desk.panel.poll()
    assert desk.state.volume_node is None
    assert not desk.state.running
    assert not in_place_mode()
    assert "Load a CT" in desk.said
    (message,) = desk.ui.segmentsTable.findChildren(QLabel, "SegmentsTableMessageLabel")
    assert message.height == 0, "Slicer's table complains that no node is selected"
    again = desk.add_volume()
    click_organ(desk, again)
    assert desk.has(again, ORGAN_IJK)


def test_a_saved_scene_opens_where_one_left_it(desk, volume, tmp_path):
    click_organ(desk, volume)
    desk.add_volume(seed=1, name="A second")
    desk.panel.poll()
    mask = desk.mask(volume)
    for node in (volume, desk.state.segmentation_node):
        node.AddDefaultStorageNode()
    path = str(tmp_path / "scene.mrb")
    assert desk.scene.WriteToMRB(path)
    desk.scene.Clear(0)
    assert desk.scene.ReadFromMRB(path)
    desk.events()
    desk.panel.poll()
    assert desk.state.volume_node.GetName() == "CT"
    assert desk.names() == ["Segment_1"]
    np.testing.assert_array_equal(desk.mask(desk.state.volume_node), mask)
    assert len(prompts(desk).points) == 1


def test_a_scene_is_read_while_slicer_lets_timers_go_on(desk, volume, tmp_path):
    second = desk.add_volume(seed=1, name="A second")
    desk.ui.volumeSelector.setCurrentNode(second)
    click_organ(desk, second)
    for node in (volume, second, desk.state.segmentation_node):
        node.AddDefaultStorageNode()
    path = str(tmp_path / "scene.mrb")
    assert desk.scene.WriteToMRB(path)
    desk.scene.Clear(0)
    # Its window of progress does so whenever a node is added.
    tag = desk.scene.AddObserver(desk.scene.NodeAddedEvent, lambda *_event: QTest.qWait(60))
    assert desk.scene.ReadFromMRB(path)
    desk.until(lambda: len(slicer.util.getNodesByClass("vtkMRMLMarkupsNode")) >= 3)
    desk.scene.RemoveObserver(tag)
    desk.wait()
    assert desk.state.volume_node.GetName() == "A second"
    assert desk.names() == ["Segment_1"]
    assert desk.state.has_prompts
    markups = slicer.util.getNodesByClass("vtkMRMLMarkupsNode")
    assert sorted(node.GetName() for node in markups) == ["SegVol +", "SegVol -", "SegVol box"]


def test_a_scene_saved_while_clicks_are_prompts_opens_with_clicks_being_clicks(
    desk, volume, tmp_path
):
    desk.click(desk.ui.addButton)
    volume.AddDefaultStorageNode()
    path = str(tmp_path / "scene.mrb")
    assert desk.scene.WriteToMRB(path)
    assert in_place_mode(), "saving has ended it"
    desk.scene.Clear(0)
    assert desk.scene.ReadFromMRB(path)
    assert not in_place_mode()
    desk.panel.poll()
    assert not desk.ui.addButton.checked


@pytest.mark.parametrize("leave", ["button", "tool bar", "another module", "scene closed"])
def test_what_a_click_does_is_saved_again_when_clicks_are_no_prompts(desk, volume, leave):
    desk.click(desk.ui.addButton)
    assert not interaction().GetSaveWithScene()
    if leave == "button":
        desk.click(desk.ui.addButton)
    elif leave == "tool bar":
        interaction().SetCurrentInteractionMode(interaction().ViewTransform)
    elif leave == "another module":
        desk.module.exit()
    else:
        desk.scene.Clear(0)
    desk.panel.poll()
    assert interaction().GetSaveWithScene()
    if leave == "tool bar":  # which goes on with the list that there is
        interaction().SetCurrentInteractionMode(interaction().Place)
        desk.panel.poll()
        assert desk.ui.addButton.checked
        assert not interaction().GetSaveWithScene()


def test_closing_leaves_nothing_behind(desk, volume):
    click_organ(desk, volume)
    panel = weakref.ref(desk.panel)
    desk.close()
    assert not in_place_mode()
    markups = desk.scene.GetNodesByClass("vtkMRMLMarkupsNode")
    markups.UnRegister(None)
    assert markups.GetNumberOfItems() == 0
    desk.events()
    gc.collect()
    assert panel() is None  # no timer, observer or shortcut holds it
