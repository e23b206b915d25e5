"""What a user does in the panel, done through the controller, on the real scene."""

import time

import numpy as np
import pytest
import slicer
import slicer.util
import torch
from in_process_engine import InProcessEngine, by_session, rule_mask
from scenes import (
    PLACES,
    SHAPE_KJI,
    TRANSFORMS,
    add_volume,
    bend,
    block,
    put_under,
    slicers_mask,
    world_of,
)
from small_config import SMALL

from segvol_core.errors import OrganError, PromptError
from segvol_core.model.segvol import SegVol
from segvol_core.organs import find
from segvol_core.packages.job import JobCancelled, JobDone, JobFailed, JobRunning
from segvol_core.prompts import Box, Point, Prompts
from segvol_core.session import Session
from SegVolLogic.controller import SegVolController
from SegVolLogic.engine import EngineStage
from SegVolLogic.errors import SceneError
from SegVolLogic.events import PrintedLines, ResultWritten, Said
from SegVolLogic.labelmap_layers import segment_of
from SegVolLogic.prompt_nodes import points_of
from SegVolLogic.segment_tags import PROMPTS_TAG, stored_prompts
from SegVolLogic.segment_writer import Overlap
from SegVolLogic.segments import add_segmentation
from SegVolLogic.states import Options, Phase
from SegVolLogic.surfaces import show_surfaces
from SegVolLogic.volume_node import volume_of


class Desk:
    """A controller with a volume and an engine, and shorthand for what a user does."""

    def __init__(self, scene, engine=None, options=None, volume=None):
        self.scene = scene
        self.engine = engine or InProcessEngine()
        self.events = []
        self.controller = SegVolController(
            scene, self.engine, listener=self.events.append, options=options
        )
        self.volume = volume or add_volume(scene)
        self.controller.choose_volume(self.volume)
        self.controller.start_engine()
        self.wait()

    @property
    def state(self):
        return self.controller.state

    @property
    def node(self):
        return self.state.segmentation_node

    def poll(self, times=1):
        for _ in range(times):
            self.controller.poll()

    def wait(self):
        for _ in range(100):
            self.controller.poll()
            if not self.state.running and self.state.phase is not Phase.UPLOADING:
                return
        raise AssertionError(f"still {self.state.phase} after 100 polls")

    def click(self, ijk, positive=True):
        nodes = self.controller.prompt_nodes
        node = nodes.positive if positive else nodes.negative
        node.AddControlPoint(*world_of(self.volume, ijk))

    def mask(self, segment_id=None):
        return slicers_mask(self.node, segment_id or self.state.segment_id, self.volume)

    def expected(self, segment_id=None):
        """What the engine gives for the segment's own prompts."""
        prompts = stored_prompts(self.node, segment_id or self.state.segment_id)
        return rule_mask(volume_of(self.volume), prompts)

    def said(self):
        return [event.message for event in self.events if isinstance(event, Said)]

    def segments(self):
        return list(self.node.GetSegmentation().GetSegmentIDs())


@pytest.fixture
def desk(scene):
    return Desk(scene)


@pytest.fixture(scope="module")
def small():
    """A network small enough to be made and run in milliseconds."""
    torch.manual_seed(0)
    return SegVol(SMALL).eval()


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


def test_names_make_a_segment_each(desk):
    ids = desk.controller.segment_names("liver, spleen, left kidney")
    desk.wait()
    names = [desk.node.GetSegmentation().GetSegment(each).GetName() for each in ids]
    assert names == ["Liver", "Spleen", "Left kidney"]
    for segment in ids:
        assert desk.mask(segment).any()
    assert desk.controller.segment_names("spleen") == (ids[1],)
    assert desk.segments() == list(ids)
    desk.controller.undo()
    assert desk.node.GetSegmentation().GetNumberOfSegments() == 0


def test_a_clicked_segment_is_offered_names_and_takes_one_with_its_colour(scene, small):
    volume = add_volume(scene, "axial", (18, 34, 36))
    desk = Desk(scene, InProcessEngine(by_session(small)), volume=volume)
    desk.click((13, 24, 12))
    desk.wait()
    assert desk.state.names == ()
    desk.poll(3)
    names = desk.state.names
    wanted = Session(small, volume_of(volume)).identify(desk.mask())
    assert dict(names[:3]) == {each.organ.name: each.probability for each in wanted[:3]}
    mask = desk.mask()
    organ = find(names[1][0])
    desk.controller.name_segment(organ.name)
    segment = desk.node.GetSegmentation().GetSegment(desk.state.segment_id)
    assert segment.GetName() == organ.display_name
    np.testing.assert_allclose(np.multiply(segment.GetColor(), 255), organ.color, atol=0.01)
    assert desk.state.names == ()
    assert not desk.state.running
    np.testing.assert_array_equal(desk.mask(), mask)
    desk.controller.undo()
    assert segment_of(desk.node, desk.state.segment_id).GetName() != organ.display_name


def test_a_new_prompt_takes_the_offered_names_away(scene, small):
    volume = add_volume(scene, "axial", (18, 34, 36))
    desk = Desk(scene, InProcessEngine(by_session(small)), volume=volume)
    desk.click((13, 24, 12))
    desk.wait()
    desk.poll(3)
    assert desk.state.names
    desk.click((15, 20, 10))
    desk.poll()
    assert desk.state.names == ()


def test_an_unknown_name_changes_nothing_and_offers_others(desk):
    with pytest.raises(OrganError) as caught:
        desk.controller.segment_names("liver, splen")
    assert "spleen" in caught.value.suggestions
    assert desk.node is None


def test_the_model_gets_the_spelling_that_it_has_learnt(scene):
    seen = []

    def answer(volume, prompts):
        seen.append(prompts.text)
        yield EngineStage.FINAL, 1.0, np.zeros(volume.shape_kji, bool), "Nothing was found."

    desk = Desk(scene, InProcessEngine(answer))
    desk.controller.segment_names('L1 vertebra, "a calcified plaque"')
    desk.wait()
    assert seen == ["vertebrae L1", "a calcified plaque"]
    assert desk.said()[-2:] == [
        "L1 vertebra: Nothing was found.",
        "A calcified plaque: Nothing was found.",
    ]


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


def test_cancelling_leaves_the_mask_of_before(desk):
    desk.click((3, 4, 2))
    desk.wait()
    before = desk.mask()
    desk.click((5, 1, 4))
    desk.poll(2)
    assert not np.array_equal(desk.mask(), before)  # the coarse mask
    desk.controller.cancel()
    np.testing.assert_array_equal(desk.mask(), before)
    desk.poll(10)
    np.testing.assert_array_equal(desk.mask(), before)


def test_a_newer_prompt_replaces_the_one_being_computed(desk):
    desk.click((3, 4, 2))
    desk.poll(2)
    desk.click((5, 1, 4))
    desk.wait()
    np.testing.assert_array_equal(desk.mask(), desk.expected())
    assert len(stored_prompts(desk.node, desk.state.segment_id).points) == 2


def test_a_failure_is_said_and_loses_nothing(scene):
    from segvol_core.errors import VolumeError  # noqa: PLC0415

    fails = []

    def answer(volume, prompts):
        yield EngineStage.COARSE, 0.1, np.ones(volume.shape_kji, bool), ""
        if fails:
            raise VolumeError("The memory is full.")
        yield EngineStage.FINAL, 1.0, rule_mask(volume, prompts), ""

    desk = Desk(scene, InProcessEngine(answer))
    desk.click((3, 4, 2))
    desk.wait()
    before = desk.mask()
    fails.append(True)
    desk.click((5, 1, 4))
    desk.wait()
    assert "The memory is full." in desk.said()
    assert desk.state.message == "The memory is full."
    np.testing.assert_array_equal(desk.mask(), before)
    assert len(stored_prompts(desk.node, desk.state.segment_id).points) == 2


def test_a_process_that_dies_is_started_again_without_a_loss(desk):
    desk.click((3, 4, 2))
    desk.wait()
    desk.click((5, 1, 4))
    desk.poll(2)
    desk.engine.kill()
    desk.poll(2)
    assert desk.state.phase is Phase.ENGINE_FAILED
    assert desk.state.message == "The inference process ended unexpectedly."
    assert desk.state.can_start_engine
    desk.controller.start_engine()
    desk.wait()
    assert desk.engine.volumes[-1] is desk.engine.volumes[0]
    np.testing.assert_array_equal(desk.mask(), desk.expected())


def test_prompts_given_before_the_engine_runs_are_answered_when_it_does(scene):
    controller = SegVolController(scene, InProcessEngine())
    volume = add_volume(scene)
    controller.choose_volume(volume)
    controller.prompt_nodes.positive.AddControlPoint(*world_of(volume, (3, 4, 2)))
    controller.poll()
    assert controller.state.phase is Phase.ENGINE_OFF
    assert controller.state.running
    controller.start_engine()
    for _ in range(10):
        controller.poll()
    state = controller.state
    assert slicers_mask(state.segmentation_node, state.segment_id, volume)[2, 4, 3]


def test_stopping_the_process_loses_nothing_in_the_scene(desk):
    desk.click((3, 4, 2))
    desk.wait()
    before = desk.mask()
    desk.click((5, 1, 4))
    desk.poll(2)
    desk.controller.stop_engine()
    assert desk.state.phase is Phase.ENGINE_OFF
    assert not desk.state.running
    np.testing.assert_array_equal(desk.mask(), before)
    assert len(stored_prompts(desk.node, desk.state.segment_id).points) == 2
    desk.controller.start_engine()
    desk.controller.run()
    desk.wait()
    np.testing.assert_array_equal(desk.mask(), desk.expected())


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


def test_another_engine_goes_on_with_what_is_running(desk):
    desk.click((3, 4, 2))
    desk.poll(2)
    desk.controller.use_engine(InProcessEngine())
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


class Job:
    """States that an operation on packages goes through, in the place of an hour's download."""

    def __init__(self, *states):
        self.states = list(states)
        self.cancelled = False

    def poll(self):
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]

    def cancel(self):
        self.cancelled = True
        self.states = [JobCancelled()]


def test_installing_shows_its_lines_and_starts_the_process(scene):
    events = []
    controller = SegVolController(scene, InProcessEngine(), listener=events.append)
    controller.choose_volume(add_volume(scene))
    controller.install(Job(JobRunning(("torch",)), JobRunning(()), JobDone("Installed.", ("end",))))
    assert controller.state.phase is Phase.INSTALLING
    assert controller.state.can_cancel
    for _ in range(6):
        controller.poll()
    assert [each.lines for each in events if isinstance(each, PrintedLines)] == [
        ("torch",),
        ("end",),
    ]
    assert Said("Installed.") in events
    assert controller.state.phase is Phase.READY


def test_an_installation_that_fails_or_is_cancelled_starts_nothing(scene):
    controller = SegVolController(scene, InProcessEngine())
    controller.choose_volume(add_volume(scene))
    controller.install(Job(JobFailed("The disk is full.", None)))
    controller.poll()
    assert controller.state.phase is Phase.ENGINE_OFF
    assert controller.state.message == "The disk is full."
    job = Job(JobRunning(()))
    controller.install(job)
    controller.poll()
    controller.cancel()
    controller.poll()
    assert job.cancelled
    assert controller.state.phase is Phase.ENGINE_OFF


def test_removing_the_packages_starts_nothing(scene):
    controller = SegVolController(scene, InProcessEngine())
    controller.choose_volume(add_volume(scene))
    controller.install(Job(JobDone("Removed.")), then_start=False)
    controller.poll()
    assert controller.state.phase is Phase.ENGINE_OFF


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


def test_quitting_leaves_nothing_behind(desk):
    desk.click((3, 4, 2))
    desk.poll(2)
    desk.controller.close()
    desk.controller.close()
    desk.poll()
    assert desk.state.phase is Phase.CLOSED
    assert desk.scene.GetNumberOfNodesByClass("vtkMRMLMarkupsNode") == 0
    assert not desk.mask().any()


def test_polling_when_nothing_happens_takes_no_time_and_tells_nothing(desk):
    for _ in range(20):
        desk.click((3, 4, 2))
    desk.wait()
    desk.events.clear()
    started = time.process_time()
    desk.poll(20)
    assert (time.process_time() - started) / 20 < 0.02
    assert desk.events == []
