"""Segments own their prompts, names, codes and colours, and keep them in files and scenes."""

import json

import numpy as np
import pytest
import slicer
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import TRANSFORMS, add_volume, block, matrix, put_under, slicers_mask

from segvol_core.organs import find, free_text
from segvol_core.prompts import Box, Point, Prompts
from SegVolLogic.errors import SceneError
from SegVolLogic.segment_grid import grid_for
from SegVolLogic.segment_tags import PROMPTS_TAG, moved, store_prompts, stored_prompts, tag
from SegVolLogic.segment_writer import write_segment
from SegVolLogic.segments import (
    TERMINOLOGY_TAG,
    add_segment,
    add_segmentation,
    describe,
    is_unnamed,
    mark_in_progress,
    record_of,
    remove_segment,
    restore_segment,
)
from SegVolLogic.transforms import to_vtk
from SegVolLogic.voxel_change import ExtentMask

PROMPTS = Prompts(
    (Point((1.25, -2.0, 1 / 3)), Point((4.0, 5.0, 6.0), positive=False)),
    Box.from_center((1, 2, 3), [[0.6, -0.8, 0], [0.8, 0.6, 0], [0, 0, 1]], (10, 20, 30)),
    "liver",
)
LIVER = block((1, 2, 3), (4, 5, 7))


@pytest.fixture
def volume(scene):
    return add_volume(scene)


@pytest.fixture
def segmentation(scene, volume):
    return add_segmentation(scene, volume)


def saved_and_reopened(scene, node, path):
    storage = scene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
    storage.SetFileName(str(path))
    assert storage.WriteData(node)
    reopened = scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    assert storage.ReadData(reopened)
    return reopened


texts = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), min_size=1)


@settings(deadline=None, max_examples=30)
@given(texts.filter(str.strip))
def test_any_text_is_kept_in_a_file(mrml, tmp_path_factory, text):
    mrml.scene.Clear(0)
    node = add_segmentation(mrml.scene, add_volume(mrml.scene))
    segment = add_segment(node)
    store_prompts(node, segment, Prompts(text=text))
    path = tmp_path_factory.mktemp("text") / "s.seg.nrrd"
    reopened = saved_and_reopened(mrml.scene, node, path)
    assert stored_prompts(reopened, segment) == Prompts(text=text)


def test_prompts_names_codes_colours_and_voxels_are_kept_in_a_seg_nrrd(
    scene, segmentation, volume, tmp_path
):
    liver = add_segment(segmentation, find("liver"))
    plain = add_segment(segmentation)
    store_prompts(segmentation, liver, PROMPTS)
    write_segment(segmentation, liver, grid_for(segmentation, volume), ExtentMask.of(LIVER))
    before = record_of(segmentation, liver)
    reopened = saved_and_reopened(scene, segmentation, tmp_path / "s.seg.nrrd")
    after = record_of(reopened, liver)
    assert (after.name, after.terminology) == ("Liver", before.terminology)
    assert stored_prompts(reopened, liver) == PROMPTS
    assert before.terminology == find("liver").terminology_entry()
    np.testing.assert_allclose(after.color, before.color, atol=1e-5)
    assert stored_prompts(reopened, plain) is None
    np.testing.assert_array_equal(slicers_mask(reopened, liver, volume), LIVER)


def test_a_thousand_points_are_kept(scene, segmentation, tmp_path):
    points = np.random.default_rng(0).normal(0, 100, (1000, 3)).tolist()
    prompts = Prompts(tuple(Point((r, a, s)) for r, a, s in points))
    segment = add_segment(segmentation)
    store_prompts(segmentation, segment, prompts)
    reopened = saved_and_reopened(scene, segmentation, tmp_path / "s.seg.nrrd")
    assert stored_prompts(reopened, segment) == prompts


def test_prompts_are_kept_in_a_scene_file(scene, segmentation, volume, tmp_path):
    segment = add_segment(segmentation, find("left kidney"))
    store_prompts(segmentation, segment, PROMPTS)
    write_segment(segmentation, segment, grid_for(segmentation, volume), ExtentMask.of(LIVER))
    for node in (volume, segmentation):
        node.AddDefaultStorageNode()
    assert scene.WriteToMRB(str(tmp_path / "scene.mrb"))
    scene.Clear(0)
    assert scene.ReadFromMRB(str(tmp_path / "scene.mrb"))
    reopened = scene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
    again = scene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
    assert stored_prompts(reopened, segment) == PROMPTS
    assert record_of(reopened, segment).name == "Left kidney"
    np.testing.assert_array_equal(slicers_mask(reopened, segment, again), LIVER)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_prompts_are_the_worlds_under_any_transform(scene, segmentation, transform):
    put_under(scene, segmentation, TRANSFORMS[transform])
    segment = add_segment(segmentation)
    store_prompts(segmentation, segment, PROMPTS)
    read = stored_prompts(segmentation, segment)
    np.testing.assert_allclose(
        [p.ras for p in read.points], [p.ras for p in PROMPTS.points], atol=1e-9
    )
    np.testing.assert_allclose(read.box.corners, PROMPTS.box.corners, atol=1e-9)


def test_prompts_move_with_their_segmentation(scene, segmentation):
    transform = put_under(scene, segmentation, [np.eye(4)])
    segment = add_segment(segmentation)
    store_prompts(segmentation, segment, PROMPTS)
    shift = matrix(shift=(10, 0, 0))
    transform.SetMatrixTransformToParent(to_vtk(shift))
    assert stored_prompts(segmentation, segment) == moved(PROMPTS, shift)


def test_no_prompts_are_stored_as_nothing(segmentation):
    segment = add_segment(segmentation)
    store_prompts(segmentation, segment, PROMPTS)
    store_prompts(segmentation, segment, None)
    assert stored_prompts(segmentation, segment) is None
    assert not segmentation.GetSegmentation().GetSegment(segment).HasTag(PROMPTS_TAG)


@pytest.mark.parametrize(
    "written", ["", "[]", "{", '{"version":1,"points":7}', '{"version":1,"points":[],"box":[1]}']
)
def test_damaged_prompts_are_said_and_break_nothing(segmentation, written):
    segment = add_segment(segmentation)
    segmentation.GetSegmentation().GetSegment(segment).SetTag(PROMPTS_TAG, written)
    if not written:
        assert stored_prompts(segmentation, segment) is None
        return
    with pytest.raises(SceneError, match="cannot be read"):
        stored_prompts(segmentation, segment)


def test_prompts_of_a_newer_version_are_not_misread(segmentation):
    segment = add_segment(segmentation)
    text = json.dumps({"version": 2, "points": []})
    segmentation.GetSegmentation().GetSegment(segment).SetTag(PROMPTS_TAG, text)
    with pytest.raises(SceneError, match="another version"):
        stored_prompts(segmentation, segment)


def test_a_segment_is_named_coded_and_coloured_as_its_anatomy(segmentation):
    segment_id = add_segment(segmentation)
    assert is_unnamed(segmentation, segment_id)
    spleen = find("spleen")
    describe(segmentation, segment_id, spleen)
    segment = segmentation.GetSegmentation().GetSegment(segment_id)
    assert segment.GetName() == "Spleen"
    np.testing.assert_allclose(np.array(segment.GetColor()) * 255, spleen.color)
    assert tag(segment, TERMINOLOGY_TAG) == spleen.terminology_entry()
    assert not is_unnamed(segmentation, segment_id)
    describe(segmentation, segment_id, free_text("a calcified plaque"))
    assert segment.GetName() == "A calcified plaque"


def test_unnamed_segments_have_names_and_colours_of_their_own(segmentation):
    segments = [add_segment(segmentation) for _ in range(5)]
    records = [record_of(segmentation, segment) for segment in segments]
    assert len({record.name for record in records}) == 5
    assert len({record.color for record in records}) == 5


def test_status_in_progress_does_not_take_back_what_the_user_set(segmentation):
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    segment_id = add_segment(segmentation)
    segment = segmentation.GetSegmentation().GetSegment(segment_id)
    mark_in_progress(segmentation, segment_id)
    assert logic.GetSegmentStatus(segment) == logic.InProgress
    logic.SetSegmentStatus(segment, logic.Completed)
    mark_in_progress(segmentation, segment_id)
    assert logic.GetSegmentStatus(segment) == logic.Completed


def test_a_removed_segment_is_brought_back_as_it_was(segmentation):
    ids = [add_segment(segmentation) for _ in range(3)]
    describe(segmentation, ids[1], find("liver"))
    store_prompts(segmentation, ids[1], PROMPTS)
    record = record_of(segmentation, ids[1])
    remove_segment(segmentation, ids[1])
    restore_segment(segmentation, record)
    assert list(segmentation.GetSegmentation().GetSegmentIDs()) == ids
    assert record_of(segmentation, ids[1]) == record
