"""A mask becomes a segment in the right place, and nothing else changes."""

import time

import numpy as np
import pytest
import slicer
import slicer.util
from hypothesis import given, settings
from hypothesis import strategies as st
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
from vtk.util.numpy_support import vtk_to_numpy

from SegVolLogic.errors import SceneError
from SegVolLogic.labelmap_layers import segment_voxels
from SegVolLogic.segment_grid import grid_for
from SegVolLogic.segment_writer import (
    EditableArea,
    Overlap,
    apply_changes,
    segment_mask,
    take_back,
    write_segment,
)
from SegVolLogic.segments import add_segment, add_segmentation, remove_segment
from SegVolLogic.surfaces import (
    CLOSED_SURFACE,
    hide_surfaces,
    show_surfaces,
    surfaces_in_steps,
    surfaces_shown,
    update_surfaces,
)
from SegVolLogic.volume_node import volume_of
from SegVolLogic.voxel_change import ExtentMask

BLOCK = block((1, 2, 3), (4, 5, 7))


@pytest.fixture
def volume(scene):
    return add_volume(scene)


@pytest.fixture
def segmentation(scene, volume):
    return add_segmentation(scene, volume)


def write(node, volume_node, segment_id, mask, **options):
    return write_segment(
        node, segment_id, grid_for(node, volume_node), ExtentMask.of(mask), **options
    )


def as_stored(node, segment_id, volume_node):
    mask = segment_mask(node, segment_id, grid_for(node, volume_node))
    return mask.within((0, 0, 0), SHAPE_KJI)


def world_positions(node, segment_id):
    """Where a segment's voxels are, from nothing but Slicer's label map and transforms."""
    image = slicer.vtkOrientedImageData()
    node.GetBinaryLabelmapRepresentation(segment_id, image)
    i0, i1, j0, j1, k0, k1 = image.GetExtent()
    found = set()
    to_local = slicer.util.vtkMatrixFromArray(np.eye(4))
    image.GetImageToWorldMatrix(to_local)
    for k in range(k0, k1 + 1):
        for j in range(j0, j1 + 1):
            for i in range(i0, i1 + 1):
                if image.GetScalarComponentAsDouble(i, j, k, 0):
                    world = [0.0, 0.0, 0.0]
                    node.TransformPointToWorld(to_local.MultiplyPoint((i, j, k, 1))[:3], world)
                    found.add(tuple(np.round(world, 2)))
    return found


@pytest.mark.parametrize(("orientation", "transform"), PLACES)
@pytest.mark.parametrize("moved", [False, True], ids=["with the volume", "under no transform"])
def test_a_mask_comes_back_onto_its_voxels(scene, orientation, transform, moved):
    node = add_volume(scene, orientation)
    put_under(scene, node, TRANSFORMS[transform])
    segmentation = add_segmentation(scene, node)
    if moved:
        segmentation.SetAndObserveTransformNodeID(None)
    segment = add_segment(segmentation)
    write(segmentation, node, segment, BLOCK)
    expected = {tuple(np.round(world_of(node, (i, j, k)), 2)) for k, j, i in np.argwhere(BLOCK)}
    stored = world_positions(segmentation, segment)
    assert len(stored) == len(expected)
    distance = np.abs(np.array(sorted(stored)) - np.array(sorted(expected))).max()
    assert distance < 0.02
    np.testing.assert_array_equal(as_stored(segmentation, segment, node), BLOCK)
    if (
        transform not in {"sheared", "nested"} or not moved
    ):  # Slicer's own export cannot resample a shear.
        np.testing.assert_array_equal(slicers_mask(segmentation, segment, node), BLOCK)


def test_only_what_changes_is_told(segmentation, volume):
    segment = add_segment(segmentation)
    write(segmentation, volume, segment, BLOCK)
    larger = BLOCK.copy()
    larger[4, 2:4, 3] = True
    (change,) = write(segmentation, volume, segment, larger)
    assert (change.start_kji, change.stop_kji) == ((4, 2, 3), (5, 4, 4))
    assert write(segmentation, volume, segment, larger) == ()


def test_a_result_replaces_the_earlier_one(segmentation, volume):
    segment = add_segment(segmentation)
    write(segmentation, volume, segment, BLOCK)
    elsewhere = block((4, 0, 0), (6, 2, 2))
    write(segmentation, volume, segment, elsewhere)
    np.testing.assert_array_equal(slicers_mask(segmentation, segment, volume), elsewhere)
    write(segmentation, volume, segment, np.zeros(SHAPE_KJI, bool))
    assert not slicers_mask(segmentation, segment, volume).any()


def test_other_segments_keep_their_voxels_where_results_overlap(segmentation, volume):
    first, second = add_segment(segmentation), add_segment(segmentation)
    write(segmentation, volume, first, BLOCK)
    write(segmentation, volume, second, np.ones(SHAPE_KJI, bool))
    np.testing.assert_array_equal(slicers_mask(segmentation, first, volume), BLOCK)
    assert slicers_mask(segmentation, second, volume).all()


def test_overwriting_takes_the_voxels_from_the_others(segmentation, volume):
    first, second = add_segment(segmentation), add_segment(segmentation)
    write(segmentation, volume, first, BLOCK)
    part = block((2, 0, 0), (6, 7, 8))
    changes = write(segmentation, volume, second, part, overlap=Overlap.OVERWRITE)
    np.testing.assert_array_equal(slicers_mask(segmentation, first, volume), BLOCK & ~part)
    np.testing.assert_array_equal(slicers_mask(segmentation, second, volume), part)
    take_back(segmentation, changes)
    np.testing.assert_array_equal(slicers_mask(segmentation, first, volume), BLOCK)
    assert not slicers_mask(segmentation, second, volume).any()


def test_overwriting_finds_all_of_many_label_maps(segmentation, volume):
    ids = [add_segment(segmentation) for _ in range(12)]
    for n, segment in enumerate(ids):
        write(segmentation, volume, segment, block((0, 0, 0), (1 + n % 6, 7, 8)))
    top = add_segment(segmentation)
    write(segmentation, volume, top, block((0, 0, 0), (6, 7, 8)), overlap=Overlap.OVERWRITE)
    for segment in ids:
        assert not slicers_mask(segmentation, segment, volume).any()


def test_avoiding_leaves_the_voxels_of_the_others_out(segmentation, volume):
    first, second = add_segment(segmentation), add_segment(segmentation)
    write(segmentation, volume, first, BLOCK)
    write(segmentation, volume, second, np.ones(SHAPE_KJI, bool), overlap=Overlap.AVOID)
    np.testing.assert_array_equal(slicers_mask(segmentation, first, volume), BLOCK)
    np.testing.assert_array_equal(slicers_mask(segmentation, second, volume), ~BLOCK)


def test_results_stay_in_the_editable_area(segmentation, volume):
    first, second = add_segment(segmentation), add_segment(segmentation)
    write(segmentation, volume, first, BLOCK)
    data = volume_of(volume)
    area = EditableArea(first, (-500.0, 300.0))
    write(segmentation, volume, second, np.ones(SHAPE_KJI, bool), area=area, volume=data)
    expected = BLOCK & (data.voxels >= -500) & (data.voxels <= 300)
    np.testing.assert_array_equal(slicers_mask(segmentation, second, volume), expected)


def test_segments_that_slicer_made_are_refined_in_place(segmentation, volume):
    first, second = add_segment(segmentation), add_segment(segmentation)
    for segment, mask in ((first, BLOCK), (second, block((4, 0, 0), (6, 7, 8)))):
        slicer.util.updateSegmentBinaryLabelmapFromArray(
            mask.astype(np.uint8), segmentation, segment, volume
        )
    smaller = block((1, 2, 3), (2, 5, 7))
    write(segmentation, volume, first, smaller)
    np.testing.assert_array_equal(slicers_mask(segmentation, first, volume), smaller)
    np.testing.assert_array_equal(
        slicers_mask(segmentation, second, volume), block((4, 0, 0), (6, 7, 8))
    )


def test_hundreds_of_segments_share_a_label_map(segmentation, volume):
    ids = [add_segment(segmentation) for _ in range(300)]
    places = [np.unravel_index(n, SHAPE_KJI) for n in range(300)]
    for segment, (k, j, i) in zip(ids, places, strict=True):
        write(segmentation, volume, segment, block((k, j, i), (k + 1, j + 1, i + 1)))
    assert segmentation.GetSegmentation().GetNumberOfLayers() == 1
    for segment, place in list(zip(ids, places, strict=True))[::37]:
        assert np.argwhere(slicers_mask(segmentation, segment, volume)).tolist() == [list(place)]


def test_a_cropped_volume_writes_into_the_segmentation_of_the_whole(scene, segmentation, volume):
    segment = add_segment(segmentation)
    write(segmentation, volume, segment, BLOCK)
    voxels = slicer.util.arrayFromVolume(volume)[2:5, 1:6, 3:8].copy()
    affine = volume_of(volume).ijk_to_ras.copy()
    affine[:3, 3] = volume_of(volume).ras_of_ijk((3, 1, 2))
    cropped = slicer.util.addVolumeFromArray(voxels, affine)
    other = add_segment(segmentation)
    write(segmentation, cropped, other, np.ones((3, 5, 5), bool))
    np.testing.assert_array_equal(
        slicers_mask(segmentation, other, volume), block((2, 1, 3), (5, 6, 8))
    )
    np.testing.assert_array_equal(slicers_mask(segmentation, segment, volume), BLOCK)


@pytest.mark.parametrize("change", ["spacing", "shift", "turned"])
def test_a_segmentation_on_other_voxels_is_refused_and_stays_as_it_is(
    scene, segmentation, volume, change
):
    segment = add_segment(segmentation)
    write(segmentation, volume, segment, BLOCK)
    affine = volume_of(volume).ijk_to_ras.copy()
    if change == "spacing":
        affine[:3, 0] *= 1.02
    elif change == "shift":
        affine[:3, 3] += 0.3
    else:
        affine[:3, :3] = affine[:3, [1, 0, 2]]
    other = add_volume(scene, affine)
    with pytest.raises(SceneError, match="do not coincide"):
        grid_for(segmentation, other)
    np.testing.assert_array_equal(slicers_mask(segmentation, segment, volume), BLOCK)


def test_an_empty_segmentation_takes_the_grid_of_the_volume(scene, segmentation, volume):
    other = add_volume(scene, "oblique")
    segmentation.SetAndObserveTransformNodeID(None)
    segment = add_segment(segmentation)
    write(segmentation, other, segment, BLOCK)
    np.testing.assert_array_equal(slicers_mask(segmentation, segment, other), BLOCK)


def test_what_cannot_hold_voxels_is_refused(scene, segmentation, volume):
    with pytest.raises(SceneError, match="Choose a segmentation"):
        grid_for(None, volume)
    surfaces = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "RT structures")
    surfaces.SetSourceRepresentationToClosedSurface()
    surfaces.GetSegmentation().AddEmptySegment("a", "a")
    with pytest.raises(SceneError, match="closed surfaces"):
        grid_for(surfaces, volume)
    bend(scene, segmentation)
    with pytest.raises(SceneError, match="bends space"):
        grid_for(segmentation, volume)


def test_a_segment_that_is_gone_is_refused(segmentation, volume):
    segment = add_segment(segmentation)
    remove_segment(segmentation, segment)
    with pytest.raises(SceneError, match="no such segment"):
        write(segmentation, volume, segment, BLOCK)


masks = st.tuples(
    *[st.tuples(st.integers(0, n), st.integers(0, n)).map(sorted) for n in SHAPE_KJI]
).map(lambda box: block([a for a, _ in box], [b for _, b in box]))


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), masks, st.sampled_from(list(Overlap))), min_size=1, max_size=8
    )
)
def test_any_sequence_of_results_is_written_undone_and_done_again(mrml, writes):
    scene = mrml.scene
    scene.Clear(0)
    volume = add_volume(scene)
    node = add_segmentation(scene, volume)
    ids = [add_segment(node) for _ in range(4)]
    states = [[np.zeros(SHAPE_KJI, bool)] * 4]
    changes = []
    for which, wanted, overlap in writes:
        mask = wanted
        expected = list(states[-1])
        others = [n for n in range(4) if n != which]
        if overlap is Overlap.AVOID:
            mask = wanted & ~np.any([expected[n] for n in others], axis=0)
        if overlap is Overlap.OVERWRITE:
            for n in others:
                expected[n] = expected[n] & ~mask
        expected[which] = mask
        states.append(expected)
        changes.append(write(node, volume, ids[which], mask, overlap=overlap))
        assert_masks(node, volume, ids, expected)
    for change, expected in zip(changes[::-1], states[-2::-1], strict=True):
        take_back(node, change)
        assert_masks(node, volume, ids, expected)
    for change, expected in zip(changes, states[1:], strict=True):
        apply_changes(node, change)
        assert_masks(node, volume, ids, expected)
    for segment, expected in zip(ids, states[-1], strict=True):
        np.testing.assert_array_equal(slicers_mask(node, segment, volume), expected)


def assert_masks(node, volume, ids, expected):
    for segment, mask in zip(ids, expected, strict=True):
        np.testing.assert_array_equal(as_stored(node, segment, volume), mask)


def test_surfaces_are_made_when_asked_for_and_follow_the_voxels(segmentation, volume):
    first, second = add_segment(segmentation), add_segment(segmentation)
    write(segmentation, volume, first, BLOCK)
    write(segmentation, volume, second, block((4, 0, 0), (6, 2, 2)))
    assert not surfaces_shown(segmentation)
    show_surfaces(segmentation, smoothing=0.0)
    assert surfaces_shown(segmentation)
    kept = surface(segmentation, second)
    before = np.array(surface(segmentation, first).GetBounds())
    (change,) = write(segmentation, volume, first, BLOCK | block((1, 2, 0), (4, 5, 3)))
    assert surface(segmentation, second) is kept
    update_surfaces(segmentation, [change.segment_id])
    assert surface(segmentation, second) is kept
    after = np.array(surface(segmentation, first).GetBounds())
    assert (after[1::2] - after[::2])[0] > (before[1::2] - before[::2])[0] + 2


def test_surfaces_made_in_steps_are_those_that_slicer_makes_at_once(segmentation, volume):
    ids = [add_segment(segmentation) for _ in range(3)]
    write(segmentation, volume, ids[0], BLOCK)
    write(segmentation, volume, ids[1], block((4, 0, 0), (6, 2, 2)))
    show_surfaces(segmentation, smoothing=0.3)
    expected = [surface_points(segmentation, each) for each in ids]
    hide_surfaces(segmentation)
    steps = surfaces_in_steps(segmentation, smoothing=0.3)
    assert list(steps) == [(1, 3), (2, 3), (3, 3)]
    assert surfaces_shown(segmentation)
    for segment_id, points in zip(ids, expected, strict=True):
        np.testing.assert_allclose(surface_points(segmentation, segment_id), points)


def test_a_segment_that_changes_while_surfaces_are_made_is_made_again(segmentation, volume):
    first, second = add_segment(segmentation), add_segment(segmentation)
    write(segmentation, volume, first, BLOCK)
    write(segmentation, volume, second, block((4, 0, 0), (6, 2, 2)))
    steps = surfaces_in_steps(segmentation, smoothing=0.0)
    next(steps)
    next(steps)
    write(segmentation, volume, first, np.ones(SHAPE_KJI, bool))
    remove_segment(segmentation, second)
    third = add_segment(segmentation)
    assert list(steps) == []
    made = surface_points(segmentation, first)
    hide_surfaces(segmentation)
    show_surfaces(segmentation, smoothing=0.0)
    np.testing.assert_allclose(made, surface_points(segmentation, first))
    assert not surface_points(segmentation, third).size


def surface_points(node, segment_id):
    points = surface(node, segment_id).GetPoints()
    return np.zeros((0, 3)) if points is None else vtk_to_numpy(points.GetData()).copy()


def test_a_new_segment_does_not_end_the_surfaces_of_the_others(segmentation, volume):
    first = add_segment(segmentation)
    write(segmentation, volume, first, BLOCK)
    show_surfaces(segmentation)
    second = add_segment(segmentation)
    write(segmentation, volume, second, np.ones(SHAPE_KJI, bool))
    update_surfaces(segmentation, [second])
    assert surface(segmentation, first).GetNumberOfPoints()
    assert surface(segmentation, second).GetNumberOfPoints()


def surface(node, segment_id):
    return node.GetSegmentation().GetSegment(segment_id).GetRepresentation(CLOSED_SURFACE)


def test_what_shows_segments_is_told_of_new_voxels(segmentation, volume):
    segment = add_segment(segmentation)
    write(segmentation, volume, segment, BLOCK)
    image = segment_voxels(segmentation, segment).image
    modified = image.GetMTime()
    told = []
    for event in ("SourceRepresentationModified", "RepresentationModified"):
        number = getattr(slicer.vtkSegmentation, event)
        segmentation.AddObserver(number, lambda *_, event=event: told.append(event))
    write(segmentation, volume, segment, block((1, 2, 3), (2, 3, 4)))
    assert told == ["SourceRepresentationModified", "RepresentationModified"]
    assert image.GetMTime() > modified


def test_a_small_result_in_a_large_segmentation_is_written_in_no_time(scene):
    """A tenth of the size of the benchmark, with a bar that a busy machine meets too."""
    shape = (100, 256, 256)
    volume = slicer.util.addVolumeFromArray(np.zeros(shape, np.int16))
    node = add_segmentation(scene, volume)
    grid = grid_for(node, volume)
    for n in range(10):
        mask = np.zeros(shape, bool)
        mask[10 * n : 10 * n + 10] = True
        write_segment(node, add_segment(node), grid, ExtentMask.of(mask))
    segment = add_segment(node)
    small = ExtentMask((10, 20, 30), np.ones((20, 60, 50), bool))
    write_segment(node, segment, grid, small)
    started = time.process_time()
    write_segment(node, segment, grid, small.moved((1, 1, 1)))
    assert time.process_time() - started < 0.1
