"""Undo and redo: a step is prompts and voxels together, and memory stays within its budget."""

import numpy as np
import pytest
import slicer
from scenes import SHAPE_KJI, add_volume, block, slicers_mask

from segvol_core.organs import find
from segvol_core.prompts import Point, Prompts
from SegVolLogic.history import History, SegmentChange, Step
from SegVolLogic.history_steps import redo_step, undo_step
from SegVolLogic.segment_grid import grid_for
from SegVolLogic.segment_tags import store_prompts, stored_prompts
from SegVolLogic.segment_writer import write_segment
from SegVolLogic.segments import (
    add_segment,
    add_segmentation,
    describe,
    mark_in_progress,
    record_of,
    remove_segment,
    restore_segment,
)
from SegVolLogic.voxel_change import ExtentMask, VoxelChange

CLICK = Prompts((Point((1.0, 2.0, 3.0)),))
BLOCK = block((1, 2, 3), (4, 5, 7))


@pytest.fixture
def volume(scene):
    return add_volume(scene)


@pytest.fixture
def node(scene, volume):
    return add_segmentation(scene, volume)


def write(node, volume, segment, mask):
    return write_segment(node, segment, grid_for(node, volume), ExtentMask.of(mask))


def test_prompts_name_and_voxels_go_and_come_together(node, volume):
    segment = add_segment(node)
    before = record_of(node, segment)
    store_prompts(node, segment, CLICK)
    describe(node, segment, find("liver"))
    voxels = write(node, volume, segment, BLOCK)
    after = record_of(node, segment)
    step = Step("click", segment, segment, (SegmentChange(before, after),), voxels)
    for _ in range(2):
        undo_step(node, step)
        assert record_of(node, segment) == before
        assert not slicers_mask(node, segment, volume).any()
        redo_step(node, step)
        assert record_of(node, segment) == after
        np.testing.assert_array_equal(slicers_mask(node, segment, volume), BLOCK)


def test_a_removed_segment_comes_back_with_its_voxels(node, volume):
    keep, segment = add_segment(node), add_segment(node)
    write(node, volume, keep, np.ones(SHAPE_KJI, bool))
    store_prompts(node, segment, CLICK)
    write(node, volume, segment, BLOCK)
    mark_in_progress(node, segment)
    record = record_of(node, segment)
    voxels = write(node, volume, segment, np.zeros(SHAPE_KJI, bool))
    remove_segment(node, segment)
    step = Step("remove", segment, keep, (SegmentChange(record, None),), voxels)
    undo_step(node, step)
    assert record_of(node, segment) == record
    np.testing.assert_array_equal(slicers_mask(node, segment, volume), BLOCK)
    redo_step(node, step)
    assert list(node.GetSegmentation().GetSegmentIDs()) == [keep]
    assert slicers_mask(node, keep, volume).all()


def test_tables_begin_anew_when_a_segment_comes_back_among_others(node):
    """Slicer's own lose the eye and the colour of a row that they move."""
    first, _ = add_segment(node), add_segment(node)
    record = record_of(node, first)
    remove_segment(node, first)
    heard = []
    event = slicer.vtkMRMLSegmentationNode.SegmentationChangedEvent
    node.AddObserver(event, lambda *_: heard.append(list(node.GetSegmentation().GetSegmentIDs())))
    restore_segment(node, record)
    assert heard[-1][0] == first


def test_undo_keeps_what_someone_else_changed(node, volume):
    segment = add_segment(node)
    before = record_of(node, segment)
    store_prompts(node, segment, CLICK)
    step = Step(
        "click",
        segment,
        segment,
        (SegmentChange(before, record_of(node, segment)),),
        write(node, volume, segment, BLOCK),
    )
    node.GetSegmentation().GetSegment(segment).SetName("renamed")
    painted = BLOCK | block((5, 5, 0), (6, 7, 1))
    write(node, volume, segment, painted)
    undo_step(node, step)
    assert record_of(node, segment).name == "renamed"
    assert stored_prompts(node, segment) is None
    np.testing.assert_array_equal(slicers_mask(node, segment, volume), block((5, 5, 0), (6, 7, 1)))


def change(size, segment="a"):
    return made(np.random.default_rng(size).random((size, 16, 16)) > 0.5, segment)


def made(mask, segment="a"):
    """The change that adds a mask."""
    return VoxelChange.between(segment, planes(np.zeros_like(mask)), planes(mask))


def planes(mask):
    return ExtentMask((0, 0, 0), mask).planes((0, 0, 0), mask.shape)


def test_the_oldest_steps_are_forgotten_when_memory_is_full():
    one = change(16).nbytes
    history = History(budget_bytes=3 * one)
    for n in range(10):
        history.add(Step(str(n), "a", "a", voxels=(change(16),)))
        assert history.nbytes <= 3 * one
    assert [history.undo().label for _ in range(3)] == ["9", "8", "7"]
    assert history.undo() is None


def test_the_last_step_is_kept_however_large_it_is():
    history = History(budget_bytes=1)
    history.add(Step("large", "a", "a", voxels=(change(16),)))
    assert history.undo_label == "large"


def test_a_new_step_ends_what_could_be_done_again():
    history = History()
    history.add(Step("1", "a", "a"))
    history.add(Step("2", "a", "a"))
    history.undo()
    assert history.redo_label == "2"
    history.add(Step("3", "a", "a"))
    assert history.redo_label is None
    assert history.undo_label == "3"


def record(segment):
    from SegVolLogic.segments import SegmentRecord  # noqa: PLC0415

    return SegmentRecord(segment, segment, (1.0, 0.0, 0.0), "", "", 0)


def test_a_result_belongs_to_the_prompt_that_asked_for_it():
    history = History()
    history.add(Step("click", "a", "a", (SegmentChange(None, record("a")),)))
    assert history.attach((change(4),), "a")
    assert not history.attach((change(4),), "a")
    step = history.undo()
    assert len(step.voxels) == 1


def test_a_result_of_another_segment_is_no_part_of_the_last_step():
    history = History()
    history.add(Step("click", "a", "a", (SegmentChange(None, record("a")),)))
    assert not history.attach((change(4, "b"),), "b")


def test_a_second_result_is_a_step_of_its_own_even_if_the_first_changed_nothing():
    history = History()
    history.add(Step("click", "a", "a", (SegmentChange(None, record("a")),)))
    assert history.attach((), "a")
    assert history.attach((), "a")
    assert not history.attach((change(4),), "a")


def test_a_result_finds_its_prompt_behind_later_steps():
    history = History()
    history.add(Step("click", "a", "a", (SegmentChange(None, record("a")),)))
    history.add(Step("next", "a", "b", (SegmentChange(None, record("b")),)))
    assert history.attach((change(4, "a"),), "a")
    assert not history.undo().voxels
    assert history.undo().voxels


def test_a_result_does_not_slip_below_a_later_one_that_it_touches():
    history = History()
    history.add(Step("click", "a", "a", (SegmentChange(None, record("a")),)))
    history.add(Step("b", "a", "b", (SegmentChange(None, record("b")),), (change(4, "b"),)))
    assert not history.attach((change(4, "a"), change(4, "b")), "a")


def test_steps_of_a_segment_that_someone_removed_are_forgotten():
    history = History()
    history.add(Step("a", "a", "a", (SegmentChange(None, record("a")),)))
    both = (SegmentChange(None, record("a")), SegmentChange(None, record("b")))
    history.add(Step("both", "b", "b", both, (change(4, "a"), change(4, "b"))))
    history.forget_segment("a")
    step = history.undo()
    assert step.segment_ids == {"b"}
    assert history.undo() is None


def test_bits_are_packed():
    mask = np.ones((10, 10, 16), bool)
    added = made(mask)
    assert added.nbytes == 2 * 200
    np.testing.assert_array_equal(added.added.mask, mask)
    assert not added.removed.any
    assert VoxelChange.between("a", planes(mask), planes(mask)) is None
