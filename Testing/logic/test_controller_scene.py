"""What others do to the scene meanwhile: removed, swapped, moved, bent, closed."""

import numpy as np
import pytest
import slicer
import slicer.util
from in_process_engine import InProcessEngine
from scenes import (
    add_volume,
    bend,
    put_under,
    slicers_mask,
    world_of,
)

from SegVolLogic.controller import SegVolController
from SegVolLogic.errors import SceneError
from SegVolLogic.prompt_nodes import points_of
from SegVolLogic.segment_tags import stored_prompts
from SegVolLogic.states import Phase


def test_a_segmentation_that_is_bent_meanwhile_refuses_the_result_and_keeps_the_rest(desk):
    desk.click((3, 4, 2))
    desk.wait()
    before = desk.mask()
    desk.click((5, 1, 4))
    desk.poll(2)
    bend(desk.scene, desk.node)
    desk.wait()
    assert any("bends space" in message for message in desk.said())
    desk.node.SetAndObserveTransformNodeID(None)
    np.testing.assert_array_equal(desk.mask(), before)
    desk.controller.run()
    desk.wait()
    np.testing.assert_array_equal(desk.mask(), desk.expected())


def test_the_volume_removed_while_running(desk):
    desk.click((3, 4, 2))
    desk.poll(2)
    desk.scene.RemoveNode(desk.volume)
    desk.poll(10)
    assert desk.state.phase is Phase.NO_VOLUME
    assert not desk.state.running
    assert any("removed" in message for message in desk.said())
    segment = desk.node.GetSegmentation().GetSegment(desk.state.segment_id)
    assert segment is not None


def test_the_segmentation_removed_while_running(desk):
    desk.click((3, 4, 2))
    desk.poll(2)
    desk.scene.RemoveNode(desk.node)
    desk.poll(10)
    assert desk.node is None
    assert desk.state.undo_label is None
    desk.click((3, 4, 2))
    desk.wait()
    np.testing.assert_array_equal(desk.mask(), desk.expected())


def test_the_segment_deleted_while_running(desk):
    desk.click((3, 4, 2))
    desk.wait()
    keep = desk.state.segment_id
    mask = desk.mask()
    desk.controller.next_segment()
    desk.click((6, 5, 4))
    desk.poll(2)
    desk.node.GetSegmentation().RemoveSegment(desk.state.segment_id)
    desk.poll(10)
    assert desk.segments() == [keep]
    assert not desk.state.running
    np.testing.assert_array_equal(desk.mask(keep), mask)
    while desk.state.undo_label:
        desk.controller.undo()
    assert desk.segments() == []


def test_the_scene_closed_while_running(desk):
    desk.click((3, 4, 2))
    desk.poll(2)
    desk.scene.Clear(0)
    desk.poll(10)
    assert desk.state.phase is Phase.NO_VOLUME
    assert desk.node is None
    desk.volume = add_volume(desk.scene)
    desk.controller.choose_volume(desk.volume)
    desk.click((3, 4, 2))
    desk.wait()
    np.testing.assert_array_equal(desk.mask(), desk.expected())


def test_the_prompt_nodes_removed(desk):
    desk.click((3, 4, 2))
    desk.wait()
    for node in list(desk.controller.prompt_nodes):
        desk.scene.RemoveNode(node)
    desk.poll()
    assert desk.controller.prompt_nodes.positive.GetNumberOfControlPoints() == 1
    assert len(stored_prompts(desk.node, desk.state.segment_id).points) == 1


def test_the_volume_swapped_while_running(desk):
    desk.click((3, 4, 2))
    desk.wait()
    before, first, segment, volume = desk.mask(), desk.node, desk.state.segment_id, desk.volume
    desk.click((5, 1, 4))
    desk.poll(2)
    desk.volume = add_volume(desk.scene, "coronal", seed=1)
    desk.controller.choose_volume(desk.volume)
    desk.poll(5)
    assert not desk.state.running
    desk.click((3, 4, 2))
    desk.wait()
    assert any("do not coincide" in message for message in desk.said())
    np.testing.assert_array_equal(slicers_mask(first, segment, volume), before)
    desk.controller.choose_segmentation(None)
    desk.click((3, 4, 2))
    desk.wait()
    assert desk.node is not first
    np.testing.assert_array_equal(desk.mask(), desk.expected())


def test_voxels_changed_while_running_are_sent_again(desk):
    desk.click((3, 4, 2))
    desk.poll(2)
    slicer.util.arrayFromVolume(desk.volume)[:] = 7
    slicer.util.arrayFromVolumeModified(desk.volume)
    desk.wait()
    assert len(desk.engine.volumes) > 2
    np.testing.assert_array_equal(desk.mask(), desk.expected())


def test_window_and_level_send_nothing(desk):
    sent = len(desk.engine.volumes)
    desk.volume.GetDisplayNode().SetAutoWindowLevel(False)
    desk.volume.GetDisplayNode().SetWindowLevel(400, 40)
    desk.poll(3)
    assert len(desk.engine.volumes) == sent


def test_a_volume_that_cannot_be_segmented_is_said(desk):
    bend(desk.scene, desk.volume)
    desk.poll()
    assert desk.state.phase is Phase.VOLUME_REFUSED
    assert "bends space" in desk.state.message
    desk.volume.SetAndObserveTransformNodeID(None)
    desk.poll()
    desk.wait()
    assert desk.state.phase is Phase.READY


def test_a_volume_and_its_segmentation_moved_together(desk):
    put_under(desk.scene, desk.volume, [np.eye(4)])
    desk.poll()
    desk.click((3, 4, 2))
    desk.wait()
    mask = desk.mask()
    transform = desk.volume.GetParentTransformNode()
    assert desk.node.GetParentTransformNode() is transform
    for shift in (1.0, 2.0, 500.0):
        moved = np.eye(4)
        moved[0, 3] = shift
        transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(moved))
        desk.wait()
        (point,) = points_of(desk.controller.prompt_nodes.positive)
        np.testing.assert_allclose(point.ras, world_of(desk.volume, (3, 4, 2)), atol=1e-3)
        assert desk.state.undo_label == "add point"
        desk.controller.run()
        desk.wait()
        np.testing.assert_array_equal(desk.mask(), mask)
    assert desk.state.undo_label == "add point"


def test_nothing_without_a_volume(scene):
    controller = SegVolController(scene, InProcessEngine())
    assert controller.state.phase is Phase.NO_VOLUME
    controller.poll()
    with pytest.raises(SceneError, match="Choose a CT"):
        controller.segment_names("liver")
    with pytest.raises(SceneError, match="Choose a CT"):
        controller.next_segment()
    controller.undo()
    controller.cancel()
