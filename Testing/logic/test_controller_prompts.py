"""Clicks, boxes and names become masks in their place, done through the controller."""

import numpy as np
import pytest
import slicer
import slicer.util
from controller_desk import Desk
from in_process_engine import InProcessEngine, by_session
from scenes import (
    PLACES,
    TRANSFORMS,
    add_volume,
    block,
    put_under,
    world_of,
)

from segvol_core.errors import PromptError
from segvol_core.prompts import Box, Point, Prompts
from segvol_core.session import Session
from SegVolLogic import prompt_display
from SegVolLogic.engine import EngineStage
from SegVolLogic.events import ResultWritten
from SegVolLogic.segment_tags import PROMPTS_TAG, stored_prompts
from SegVolLogic.segments import add_segmentation
from SegVolLogic.states import Options, Phase
from SegVolLogic.surfaces import show_surfaces
from SegVolLogic.volume_node import volume_of


@pytest.mark.parametrize(("orientation", "transform"), PLACES)
def test_a_click_brings_the_cores_own_mask_to_its_place(scene, small, orientation, transform):
    volume = add_volume(scene, orientation, (18, 34, 36))
    put_under(scene, volume, TRANSFORMS[transform])
    desk = Desk(scene, InProcessEngine(by_session(small)), volume=volume)
    desk.click((13, 24, 12))
    desk.wait()
    prompts = stored_prompts(desk.node, desk.state.segment_id)
    own = Session(small, volume_of(volume)).mask(prompts)
    assert own.any()
    np.testing.assert_array_equal(desk.mask(), own)


def test_the_first_click_makes_segmentation_and_segment(desk):
    assert desk.node is None
    desk.click((3, 4, 2))
    desk.wait()
    assert desk.node.GetName() == "CT segmentation"
    assert desk.mask()[2, 4, 3]
    np.testing.assert_array_equal(desk.mask(), desk.expected())
    assert desk.state.phase is Phase.READY


def test_the_coarse_mask_is_shown_first(desk):
    desk.click((3, 4, 2))
    seen = []
    for _ in range(6):
        desk.poll()
        seen = [e.stage for e in desk.events if isinstance(e, ResultWritten)]
        if seen:
            break
    assert seen == [EngineStage.COARSE]
    assert desk.mask()[::2].all()
    desk.wait()
    np.testing.assert_array_equal(desk.mask(), desk.expected())


def test_every_kind_of_prompt_counts(desk):
    desk.click((3, 4, 2))
    desk.wait()
    before = desk.mask()
    desk.click((3, 4, 3), positive=False)
    desk.wait()
    assert (before & ~desk.mask()).any()
    low, high = world_of(desk.volume, (0, 0, 0)), world_of(desk.volume, (2, 2, 2))
    prompts = stored_prompts(desk.node, desk.state.segment_id)
    desk.controller.set_prompts(Prompts(prompts.points, Box.from_bounds(low, high)))
    desk.wait()
    assert desk.mask()[0:3, 0:3, 0:3].sum() > 20
    np.testing.assert_array_equal(desk.mask(), desk.expected())
    desk.controller.set_text("liver")
    desk.wait()
    np.testing.assert_array_equal(desk.mask(), desk.expected())
    assert desk.node.GetSegmentation().GetSegment(desk.state.segment_id).GetName() == "Liver"


def test_a_negative_point_alone_waits_for_a_positive_one(desk):
    desk.click((3, 4, 3), positive=False)
    desk.poll(2)
    assert any("only negative" in message for message in desk.said())
    assert desk.node is None
    desk.click((3, 4, 2))
    desk.wait()
    assert len(stored_prompts(desk.node, desk.state.segment_id).points) == 2


def test_a_click_outside_the_volume_is_taken_away_and_breaks_nothing(desk):
    desk.click((3, 4, 2))
    desk.wait()
    before = desk.mask()
    desk.click((30, 4, 2))
    desk.wait()
    assert any("outside the volume" in message for message in desk.said())
    assert desk.controller.prompt_nodes.positive.GetNumberOfControlPoints() == 1
    np.testing.assert_array_equal(desk.mask(), before)
    desk.click((4, 4, 2))
    desk.wait()
    np.testing.assert_array_equal(desk.mask(), desk.expected())


def test_a_point_that_is_dragged_counts_when_it_is_let_go(desk):
    desk.click((3, 4, 2))
    desk.wait()
    points = desk.controller.prompt_nodes.positive
    before = desk.mask()
    points.InvokeEvent(points.PointStartInteractionEvent)
    points.SetNthControlPointPosition(0, world_of(desk.volume, (1, 1, 1)))
    desk.poll(3)
    assert not desk.state.running
    np.testing.assert_array_equal(desk.mask(), before)
    points.InvokeEvent(points.PointEndInteractionEvent)
    desk.wait()
    assert desk.mask()[1, 1, 1]
    assert desk.state.undo_label == "move point"


def test_removing_the_last_prompt_keeps_the_mask(desk):
    desk.click((3, 4, 2))
    desk.wait()
    before = desk.mask()
    desk.controller.prompt_nodes.positive.RemoveAllControlPoints()
    desk.wait()
    assert not desk.state.has_prompts
    np.testing.assert_array_equal(desk.mask(), before)


def test_without_auto_run_prompts_wait_for_the_button(scene):
    desk = Desk(scene, options=Options(auto_run=False))
    desk.click((3, 4, 2))
    desk.poll()
    desk.click((4, 4, 2))
    desk.wait()
    assert desk.state.can_run
    assert not desk.mask().any()
    desk.controller.run()
    desk.wait()
    np.testing.assert_array_equal(desk.mask(), desk.expected())


def test_running_without_a_prompt_says_what_to_do(desk):
    with pytest.raises(PromptError, match="click, draw a box, or type"):
        desk.controller.run()


def test_selecting_a_segment_shows_its_prompts_and_goes_on_with_them(desk):
    desk.click((3, 4, 2))
    desk.wait()
    first = desk.state.segment_id
    desk.controller.next_segment()
    desk.click((6, 5, 4))
    desk.wait()
    second_mask = desk.mask()
    second = desk.state.segment_id
    desk.controller.choose_segment(first)
    desk.click((4, 4, 2))
    desk.wait()
    assert len(stored_prompts(desk.node, first).points) == 2
    np.testing.assert_array_equal(desk.mask(first), desk.expected(first))
    np.testing.assert_array_equal(desk.mask(second), second_mask)


@pytest.fixture
def drawn_at_once(monkeypatch):
    monkeypatch.setattr(prompt_display, "DRAWN_AFTER_SECONDS", 0.0)


def test_points_are_drawn_over_segments_that_come_later(desk, drawn_at_once):
    """Slicer draws in the order in which display nodes come, and segments would hide the points."""
    desk.click((3, 4, 2))
    points = desk.controller.prompt_nodes.positive
    at_first = points.GetDisplayNode()
    color = at_first.GetSelectedColor()
    while desk.controller.busy or points.GetDisplayNode() is at_first:
        assert points.GetDisplayNode() is at_first  # not before its final mask
        desk.poll()
    first = desk.state.segment_id
    before = points.GetDisplayNode()
    desk.poll(3)
    assert points.GetDisplayNode() is before
    desk.controller.segment_names("liver")
    desk.wait()
    desk.controller.choose_segment(first)
    desk.poll()
    after = points.GetDisplayNode()
    assert after is not before
    assert not desk.scene.IsNodePresent(before)
    assert not desk.scene.IsNodePresent(at_first)
    assert after.GetSelectedColor() == color
    assert not after.GetPointLabelsVisibility()
    assert not after.GetSaveWithScene()
    assert points.GetNumberOfDisplayNodes() == 1


def test_points_are_let_be_while_the_mouse_is_about_to_place_one(desk, drawn_at_once):
    desk.click((3, 4, 2))
    desk.wait()
    first = desk.state.segment_id
    desk.controller.segment_names("liver")
    desk.wait()
    points = desk.controller.prompt_nodes.positive
    index = points.AddControlPoint(9, 9, 9)
    points.SetNthControlPointPosition(index, 9, 9, 9, points.PositionPreview)
    before = points.GetDisplayNode()
    desk.poll()
    assert points.GetDisplayNode() is before
    points.RemoveNthControlPoint(index)
    desk.controller.choose_segment(first)
    desk.poll()
    assert points.GetDisplayNode() is not before


def test_only_the_largest_island(scene):
    desk = Desk(scene, options=Options(keep_largest=True))
    desk.click((1, 1, 1))
    desk.poll()
    desk.click((6, 5, 4))
    desk.wait()
    whole = desk.expected()
    assert desk.mask().any()
    assert (desk.mask() & ~whole).sum() == 0
    assert desk.mask().sum() < whole.sum()


def test_surfaces_follow_results(desk):
    desk.click((3, 4, 2))
    desk.wait()
    show_surfaces(desk.node)
    segment = desk.node.GetSegmentation().GetSegment(desk.state.segment_id)
    before = segment.GetRepresentation("Closed surface").GetBounds()
    desk.click((6, 5, 4))
    desk.wait()
    assert segment.GetRepresentation("Closed surface").GetBounds() != before


def test_damaged_prompts_of_one_segment_do_not_stop_the_others(desk):
    desk.click((3, 4, 2))
    desk.wait()
    damaged = desk.state.segment_id
    desk.node.GetSegmentation().GetSegment(damaged).SetTag(PROMPTS_TAG, "{")
    desk.poll(3)
    assert sum("cannot be read" in message for message in desk.said()) == 1
    desk.controller.next_segment()
    desk.click((6, 5, 4))
    desk.wait()
    np.testing.assert_array_equal(desk.mask(), desk.expected())
    desk.controller.choose_segment(damaged)
    desk.controller.clear()
    desk.click((3, 4, 2))
    desk.wait()
    np.testing.assert_array_equal(desk.mask(), desk.expected())


def test_an_existing_segment_is_refined_when_it_is_selected(desk):
    node = add_segmentation(desk.scene, desk.volume)
    painted = node.GetSegmentation().AddEmptySegment("painted", "painted")
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        block((0, 0, 0), (3, 3, 3)).astype(np.uint8), node, painted, desk.volume
    )
    desk.controller.choose_segmentation(node)
    desk.click((6, 5, 4))
    desk.wait()
    assert desk.state.segment_id != "painted"
    np.testing.assert_array_equal(desk.mask("painted"), block((0, 0, 0), (3, 3, 3)))
    desk.controller.choose_segment("painted")
    desk.click((3, 4, 2))
    desk.wait()
    np.testing.assert_array_equal(desk.mask("painted"), desk.expected("painted"))
    desk.controller.undo()
    np.testing.assert_array_equal(desk.mask("painted"), block((0, 0, 0), (3, 3, 3)))


def test_prompts_from_a_script_are_shown_and_checked(desk):
    point = Point(world_of(desk.volume, (3, 4, 2)))
    desk.controller.set_prompts(Prompts((point,)))
    assert desk.controller.prompt_nodes.positive.GetNumberOfControlPoints() == 1
    with pytest.raises(PromptError, match="outside"):
        desk.controller.set_prompts(Prompts((Point((9999.0, 0.0, 0.0)),)))
    desk.wait()
    np.testing.assert_array_equal(desk.mask(), desk.expected())
