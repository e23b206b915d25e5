"""Surfaces that are shown follow the voxels; an undo takes the earlier one instead of a new one."""

import numpy as np
import pytest
from vtk.util.numpy_support import vtk_to_numpy

from SegVolLogic.surface_keeper import SurfaceKeeper
from SegVolLogic.surfaces import hide_surfaces, show_surfaces


@pytest.fixture
def shown(desk):
    """A desk with a segment and its surface."""
    desk.click((3, 4, 2))
    desk.wait()
    show_surfaces(desk.node, smoothing=0.0)
    return desk


def surface(desk):
    segment = desk.node.GetSegmentation().GetSegment(desk.state.segment_id)
    return segment.GetRepresentation("Closed surface")


def assert_true(desk):
    """The surface is the one that Slicer makes of the voxels."""
    kept = vtk_to_numpy(surface(desk).GetPoints().GetData()).copy()
    hide_surfaces(desk.node)
    show_surfaces(desk.node)
    np.testing.assert_array_equal(vtk_to_numpy(surface(desk).GetPoints().GetData()), kept)


def test_undo_and_redo_take_the_surfaces_that_there_were(shown):
    first = surface(shown).GetPoints()
    shown.click((6, 5, 4))
    shown.wait()
    second = surface(shown).GetPoints()
    assert second.GetBounds() != first.GetBounds()
    shown.controller.undo()
    shown.wait()
    assert surface(shown).GetPoints() is first
    shown.controller.redo()
    shown.wait()
    assert surface(shown).GetPoints() is second
    assert_true(shown)


def test_a_surface_that_was_smoothed_otherwise_is_made_anew(shown):
    shown.click((6, 5, 4))
    shown.wait()
    show_surfaces(shown.node, smoothing=0.5)
    shown.controller.undo()
    shown.wait()
    assert_true(shown)


def test_a_surface_is_made_anew_where_others_wrote_voxels_meanwhile(shown):
    shown.click((6, 5, 4))
    shown.wait()
    image = shown.node.GetSegmentation().GetSegment(shown.state.segment_id)
    scalars = image.GetRepresentation("Binary labelmap").GetPointData().GetScalars()
    vtk_to_numpy(scalars)[0] = 1
    shown.controller.undo()
    shown.wait()
    assert_true(shown)


def test_the_surface_is_of_the_result_however_quickly_one_goes_on(shown):
    shown.click((6, 5, 4))
    shown.poll(30)
    shown.click((1, 1, 1))
    shown.poll(2)  # a coarse mask is in the segment
    shown.controller.cancel()
    shown.wait()
    assert_true(shown)


def test_another_segmentation_leaves_the_surfaces_of_the_one_before_true(shown):
    node, segment_id = shown.node, shown.state.segment_id
    first = surface(shown).GetPoints()
    shown.click((6, 5, 4))
    shown.wait()
    shown.controller.undo()
    shown.controller.choose_segmentation(None)
    segment = node.GetSegmentation().GetSegment(segment_id)
    assert segment.GetRepresentation("Closed surface").GetPoints() is first


def test_the_memory_for_surfaces_is_bounded(shown):
    keeper = SurfaceKeeper(budget_bytes=0)
    keeper.remember(shown.node, [shown.state.segment_id])
    keeper.outdate(shown.node, [shown.state.segment_id])
    assert not keeper.up_to_date
    before = surface(shown).GetPoints()
    keeper.catch_up(shown.node)
    assert surface(shown).GetPoints() is not before
    assert_true(shown)
    assert keeper.up_to_date
