"""Names: several at once, for the model as it learnt them, and offered for what was clicked."""

import numpy as np
import pytest
import slicer
from controller_desk import Desk
from in_process_engine import InProcessEngine, by_session
from scenes import (
    add_volume,
)

from segvol_core.errors import OrganError
from segvol_core.organs import find
from segvol_core.session import Session
from SegVolLogic.engine import EngineStage
from SegVolLogic.events import ResultWritten
from SegVolLogic.labelmap_layers import segment_of
from SegVolLogic.volume_node import volume_of


class AllAtOnce(InProcessEngine):
    """Keeps its answers until all of them are there."""

    def poll(self):
        step = super().poll
        return [update for _ in range(20) for update in step()]


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


def test_masks_that_arrive_together_are_shown_one_after_the_other(scene):
    desk = Desk(scene, AllAtOnce())
    ids = desk.controller.segment_names("liver, spleen, left kidney")
    written = []
    while desk.controller.busy:
        before = len(desk.events)
        desk.poll()
        written.append(sum(isinstance(event, ResultWritten) for event in desk.events[before:]))
    assert max(written) == 1
    assert sum(written) == 2 * len(ids)
    assert all(desk.mask(segment).any() for segment in ids)


def test_what_one_engine_still_had_to_say_is_not_heard_from_another(scene):
    def nothing(volume, prompts):
        yield EngineStage.FINAL, 1.0, np.zeros(volume.shape_kji, bool), ""

    desk = Desk(scene, AllAtOnce())
    ids = desk.controller.segment_names("liver, spleen, left kidney")
    desk.poll()
    desk.controller.use_engine(InProcessEngine(nothing))
    desk.wait()
    assert not any(desk.mask(segment).any() for segment in ids)


def test_slicer_hears_of_a_mask_once(desk):
    desk.click((2, 3, 1))
    desk.wait()
    desk.click((3, 4, 2))
    heard = []
    for name in ("SourceRepresentationModified", "RepresentationModified", "SegmentModified"):
        event = getattr(slicer.vtkSegmentation, name)
        desk.node.AddObserver(event, lambda *_, name=name: heard.append(name))
    masks = 0
    for _ in range(10):
        before = len(desk.events)
        desk.poll()
        if any(isinstance(event, ResultWritten) for event in desk.events[before:]):
            masks += 1
            assert heard.count("SourceRepresentationModified") == 1
            assert len(heard) <= 4
        heard.clear()
    assert masks == 2
    np.testing.assert_array_equal(desk.mask(), desk.expected())


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
