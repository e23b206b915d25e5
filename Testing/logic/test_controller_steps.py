"""Undo, redo, clear, next segment: prompts and voxels together."""

import numpy as np
import pytest
from controller_desk import Desk
from scenes import (
    SHAPE_KJI,
)

from SegVolLogic.errors import SceneError
from SegVolLogic.segment_tags import stored_prompts
from SegVolLogic.segment_writer import Overlap
from SegVolLogic.states import Options
from SegVolLogic.surfaces import show_surfaces


def test_undo_and_redo_take_prompts_and_mask_together(desk):
    masks = [np.zeros(SHAPE_KJI, bool)]
    for ijk in [(3, 4, 2), (5, 1, 4), (1, 1, 1)]:
        desk.click(ijk)
        desk.wait()
        masks.append(desk.mask())
    segment = desk.state.segment_id
    for count in (2, 1):
        desk.controller.undo()
        desk.poll(3)
        assert len(stored_prompts(desk.node, segment).points) == count
        assert desk.controller.prompt_nodes.positive.GetNumberOfControlPoints() == count
        np.testing.assert_array_equal(desk.mask(segment), masks[count])
    desk.controller.undo()
    desk.poll(3)
    assert desk.segments() == []
    assert desk.state.undo_label is None
    for count in (1, 2, 3):
        desk.controller.redo()
        desk.poll(3)
        np.testing.assert_array_equal(desk.mask(segment), masks[count])
    assert desk.state.redo_label is None


def test_undo_while_running_ends_the_run(desk):
    desk.click((3, 4, 2))
    desk.wait()
    before = desk.mask()
    desk.click((5, 1, 4))
    desk.poll(2)
    assert desk.state.running
    desk.controller.undo()
    assert not desk.state.running
    desk.poll(10)
    np.testing.assert_array_equal(desk.mask(), before)


def test_undo_goes_across_segments_clear_and_next(desk):
    desk.click((3, 4, 2))
    desk.wait()
    first, first_mask = desk.state.segment_id, desk.mask()
    second = desk.controller.next_segment()
    assert desk.controller.prompt_nodes.positive.GetNumberOfControlPoints() == 0
    desk.click((6, 5, 4))
    desk.wait()
    second_mask = desk.mask()
    desk.controller.clear()
    assert not desk.mask().any()
    assert stored_prompts(desk.node, second) is None
    desk.controller.undo()
    np.testing.assert_array_equal(desk.mask(second), second_mask)
    desk.controller.undo()
    desk.controller.undo()
    assert desk.segments() == [first]
    assert desk.state.segment_id == first
    assert desk.controller.prompt_nodes.positive.GetNumberOfControlPoints() == 1
    np.testing.assert_array_equal(desk.mask(first), first_mask)


def test_next_on_an_empty_segment_is_that_segment(desk):
    first = desk.controller.next_segment()
    assert desk.controller.next_segment() == first


def test_a_result_arrives_in_its_segment_after_next(desk):
    desk.click((3, 4, 2))
    desk.poll(2)
    first = desk.state.segment_id
    second = desk.controller.next_segment()
    desk.wait()
    np.testing.assert_array_equal(desk.mask(first), desk.expected(first))
    assert not desk.mask(second).any()
    desk.controller.undo()
    desk.controller.undo()
    assert desk.segments() == []


def test_an_undo_that_cannot_be_written_is_kept_for_later(desk):
    desk.click((3, 4, 2))
    desk.wait()
    segmentation = desk.node.GetSegmentation()
    binary = segmentation.GetSourceRepresentationName()
    show_surfaces(desk.node)
    segmentation.SetSourceRepresentationName("Closed surface")
    for act in (desk.controller.undo, desk.controller.clear):
        with pytest.raises(SceneError, match="closed surfaces"):
            act()
    assert desk.state.undo_label == "add point"
    segmentation.SetSourceRepresentationName(binary)
    desk.controller.undo()
    assert desk.segments() == []


def test_overwriting_is_undone_in_both_segments(scene):
    desk = Desk(scene, options=Options(overlap=Overlap.OVERWRITE))
    desk.click((3, 4, 2))
    desk.wait()
    first, before = desk.state.segment_id, desk.mask()
    desk.controller.next_segment()
    desk.click((4, 4, 2))
    desk.wait()
    second = desk.mask()
    np.testing.assert_array_equal(desk.mask(first), before & ~second)
    desk.controller.undo()
    np.testing.assert_array_equal(desk.mask(first), before)
