"""SegVol from Slicer's Python console: one call for segments, one for a table of their volumes."""

import numpy as np
import pytest
import slicer.util
from in_process_engine import InProcessEngine, rule_mask
from scenes import TRANSFORMS, add_volume, block, put_under, slicers_mask, world_of

from segvol_core.errors import OrganError, PromptError, SegVolError, VolumeError
from segvol_core.prompts import Point, Prompts
from SegVolLogic.engine import EngineStage
from SegVolLogic.errors import SceneError
from SegVolLogic.measurements import add_table, measure
from SegVolLogic.script import running, segment
from SegVolLogic.segment_grid import grid_for
from SegVolLogic.segment_writer import write_segment
from SegVolLogic.segments import add_segment, add_segmentation
from SegVolLogic.volume_node import volume_of
from SegVolLogic.voxel_change import ExtentMask


@pytest.fixture
def engine():
    with running(InProcessEngine()) as engine:
        yield engine


@pytest.fixture
def volume(scene):
    return add_volume(scene)


def test_names_in_one_call(scene, volume, engine):
    done = segment(volume, "liver, spleen", engine=engine)
    assert done.segmentation_node is scene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
    for segment_id, name in zip(done.segment_ids, ("liver", "spleen"), strict=True):
        expected = rule_mask(volume_of(volume), Prompts(text=name))
        np.testing.assert_array_equal(
            slicers_mask(done.segmentation_node, segment_id, volume), expected
        )
    assert scene.GetNumberOfNodesByClass("vtkMRMLMarkupsNode") == 0


def test_a_batch_over_a_scene(scene, engine):
    volumes = [add_volume(scene, seed=seed) for seed in range(3)]
    point = Prompts((Point(world_of(volumes[0], (3, 4, 2))),))
    done = [segment(volume, point, engine=engine) for volume in volumes]
    assert len({each.segmentation_node.GetID() for each in done}) == 3


def test_prompts_add_a_segment_to_a_segmentation(scene, volume, engine):
    node = add_segmentation(scene, volume)
    kept = add_segment(node)
    prompts = Prompts((Point(world_of(volume, (3, 4, 2))),))
    done = segment(volume, prompts, node, engine=engine)
    assert done.segmentation_node is node
    assert kept not in done.segment_ids


@pytest.mark.parametrize(
    ("prompts", "error"),
    [
        ("liver, splen", OrganError),
        (Prompts((Point((9999.0, 0.0, 0.0)),)), PromptError),
    ],
)
def test_wrong_prompts_are_said_and_leave_nothing(scene, volume, engine, prompts, error):
    with pytest.raises(error):
        segment(volume, prompts, engine=engine)
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0
    assert scene.GetNumberOfNodesByClass("vtkMRMLMarkupsNode") == 0


def test_no_volume_is_said(engine):
    with pytest.raises(SceneError, match="volume"):
        segment(None, "liver", engine=engine)


def test_a_failure_is_raised_and_leaves_nothing(scene, volume):
    def answer(volume, prompts):
        raise VolumeError("The memory is full.")
        yield

    with (
        running(InProcessEngine(answer)) as engine,
        pytest.raises(SegVolError, match="memory is full"),
    ):
        segment(volume, "liver", engine=engine)
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


def test_an_engine_that_dies_ends_the_call(volume):
    with (
        running(InProcessEngine()) as engine,
        pytest.raises(SegVolError, match="ended unexpectedly"),
    ):
        segment(volume, "liver", engine=engine, while_waiting=engine.kill)


def test_a_call_does_not_wait_for_ever(volume):
    def answer(volume, prompts):
        while True:
            yield EngineStage.PROGRESS, 0.5, None, ""

    with (
        running(InProcessEngine(answer)) as engine,
        pytest.raises(SegVolError, match="no result within"),
    ):
        segment(volume, "liver", engine=engine, timeout_seconds=0.2)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_volumes_and_means(scene, volume, transform):
    put_under(scene, volume, TRANSFORMS[transform])
    node = add_segmentation(scene, volume)
    mask = block((1, 2, 3), (4, 5, 7))
    for each in (mask, np.zeros_like(mask)):
        write_segment(node, add_segment(node), grid_for(node, volume), ExtentMask.of(each))
    first, second = measure(node, volume)
    scale = np.prod([np.linalg.det(one[:3, :3]) for one in TRANSFORMS[transform]])
    assert first.voxels == 36
    assert first.volume_ml == pytest.approx(36 * 0.8 * 0.9 * 2.5 * scale / 1000)
    assert first.mean_hu == pytest.approx(slicer.util.arrayFromVolume(volume)[mask].mean())
    assert (second.voxels, second.volume_ml, second.mean_hu) == (0, 0.0, None)


def test_a_table_of_the_scene(scene, volume, engine):
    done = segment(volume, "liver, spleen", engine=engine)
    table = add_table(done.segmentation_node, volume).GetTable()
    titles = [table.GetColumnName(column) for column in range(table.GetNumberOfColumns())]
    assert titles == ["Segment", "Voxels", "Volume (ml)", "Mean (HU)"]
    assert table.GetValue(0, 0).ToString() == "Liver"
    assert table.GetValue(1, 2).ToDouble() == measure(done.segmentation_node, volume)[1].volume_ml
