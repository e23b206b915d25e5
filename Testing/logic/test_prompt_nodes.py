"""What is clicked and drawn is what SegVol gets, wherever the markups are, and is shown again."""

import numpy as np
import pytest
import vtk
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import TRANSFORMS, bend, matrix, put_under

from segvol_core.errors import PromptError
from segvol_core.prompts import Box, Point, Prompts
from SegVolLogic.errors import SceneError
from SegVolLogic.prompt_nodes import (
    PromptNodes,
    add_box_node,
    add_points_node,
    box_of,
    points_of,
    prompts_of,
    show,
    show_points,
)

ROTATED = Box.from_center((1, 2, 3), [[0.6, -0.8, 0], [0.8, 0.6, 0], [0, 0, 1]], (10, 20, 30))


def all_nodes(scene):
    points = [add_points_node(scene, positive=positive) for positive in (True, False)]
    return PromptNodes(*points, add_box_node(scene))


@pytest.fixture
def nodes(scene):
    return all_nodes(scene)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_points_are_taken_where_they_are_in_the_world(scene, nodes, transform):
    nodes.positive.AddControlPoint(1.0, 2.0, 3.0)
    put_under(scene, nodes.positive, TRANSFORMS[transform])
    expected = np.array((1.0, 2.0, 3.0, 1.0))
    for one in TRANSFORMS[transform]:
        expected = one @ expected
    (point,) = points_of(nodes.positive)
    np.testing.assert_allclose(point.ras, expected[:3], atol=1e-4)


def test_only_points_that_have_been_placed_are_prompts(nodes):
    for position in [(1, 1, 1), (2, 2, 2), (3, 3, 3)]:
        nodes.positive.AddControlPoint(*position)
    nodes.positive.SetNthControlPointPositionMissing(0)
    nodes.positive.UnsetNthControlPointPosition(1)
    assert points_of(nodes.positive) == (Point((3, 3, 3)),)


def test_a_point_being_placed_is_no_prompt_yet(nodes):
    nodes.positive.AddControlPoint(1, 1, 1)
    nodes.positive.SetNthControlPointPosition(0, 5, 5, 5, nodes.positive.PositionPreview)
    assert points_of(nodes.positive) == ()
    assert prompts_of(nodes) is None


def under_the_mouse(node, position=(9, 9, 9)):
    """As Slicer's views show where a click would put a point."""
    index = node.AddControlPoint(*position)
    node.SetNthControlPointPosition(index, *position, node.PositionPreview)


@pytest.fixture
def place_mode(scene):
    interaction = scene.GetNodeByID("vtkMRMLInteractionNodeSingleton")
    interaction.SetPlaceModePersistence(1)
    interaction.SetCurrentInteractionMode(interaction.Place)
    yield interaction
    interaction.SetPlaceModePersistence(0)
    interaction.SetCurrentInteractionMode(interaction.ViewTransform)


def test_points_change_while_slicer_shows_none_under_the_mouse(nodes, place_mode):
    """Its views take theirs away themselves, or they look for it where it is not any more."""
    show_points(nodes.positive, [(1, 1, 1), (2, 2, 2)])
    under_the_mouse(nodes.positive)
    seen = []

    def look(*_):
        mode = place_mode.GetCurrentInteractionMode()
        seen.append((mode, nodes.positive.GetNumberOfControlPoints()))

    tag = place_mode.AddObserver(place_mode.InteractionModeChangedEvent, look)
    show_points(nodes.positive, [(1, 1, 1)])
    place_mode.RemoveObserver(tag)
    assert seen == [(place_mode.ViewTransform, 3), (place_mode.Place, 1)]
    assert place_mode.GetPlaceModePersistence() == 1
    assert points_of(nodes.positive) == (Point((1, 1, 1)),)


def test_points_that_stay_are_let_be_with_one_under_the_mouse(nodes, place_mode):
    show_points(nodes.positive, [(1, 1, 1)])
    under_the_mouse(nodes.positive)
    before = place_mode.GetMTime(), nodes.positive.GetMTime()
    show_points(nodes.positive, [(1, 1, 1)])
    assert (place_mode.GetMTime(), nodes.positive.GetMTime()) == before
    assert nodes.positive.GetNumberOfControlPoints() == 2


@pytest.mark.parametrize("transform", ["translated", "rotated", "nested"])
def test_a_box_under_a_transform_is_taken_where_it_is_in_the_world(scene, nodes, transform):
    nodes.box.SetSize(3, 4, 5)
    nodes.box.SetCenter(1, 1, 1)
    put_under(scene, nodes.box, TRANSFORMS[transform])
    low, high = np.array((-0.5, -1, -1.5)), np.array((2.5, 3, 3.5))
    corners = np.array(
        [[(low, high)[bit][axis] for axis, bit in enumerate(bits)] for bits in np.ndindex(2, 2, 2)]
    )
    for one in TRANSFORMS[transform]:
        corners = corners @ one[:3, :3].T + one[:3, 3]
    np.testing.assert_allclose(box_of(nodes.box).corners, corners, atol=1e-5)


def test_a_box_that_was_never_drawn_is_none(nodes):
    assert box_of(nodes.box) is None
    assert prompts_of(nodes) is None


def test_everything_together_is_one_prompt(nodes):
    nodes.positive.AddControlPoint(1, 2, 3)
    nodes.negative.AddControlPoint(4, 5, 6)
    show(Prompts((Point((1, 2, 3)), Point((4, 5, 6), positive=False)), ROTATED), nodes)
    prompts = prompts_of(nodes, "  liver ")
    assert prompts.points == (Point((1, 2, 3)), Point((4, 5, 6), positive=False))
    assert prompts.text == "liver"
    np.testing.assert_allclose(prompts.box.corners, ROTATED.corners, atol=1e-9)


def test_only_negative_points_are_refused_with_a_sentence(nodes):
    nodes.negative.AddControlPoint(4, 5, 6)
    with pytest.raises(PromptError, match="only negative"):
        prompts_of(nodes)


positions = st.tuples(*[st.floats(-300, 300) for _ in range(3)])


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(positions, st.booleans()), max_size=5),
    st.one_of(st.none(), st.tuples(positions, st.tuples(*[st.floats(-3, 3)] * 3))),
)
def test_prompts_that_are_shown_are_read_again(mrml, points, box):
    mrml.scene.Clear(0)
    nodes = all_nodes(mrml.scene)
    from geometry_strategies import rotation  # noqa: PLC0415

    shown = [Point(ras, positive) for ras, positive in points if positive]
    shown += [Point(ras, positive) for ras, positive in points if not positive]
    turned = None if box is None else Box.from_center(box[0], rotation(box[1]), (11.0, 22.0, 7.5))
    prompts = Prompts(tuple(shown), turned, "liver")
    for _ in range(2):  # The second time over what is there.
        show(prompts, nodes)
        read = prompts_of(nodes, "liver")
        assert read.points == prompts.points
        if turned is None:
            assert read.box is None
        else:
            np.testing.assert_allclose(read.box.corners, turned.corners, atol=1e-6)
    show(None, nodes)
    assert prompts_of(nodes) is None


def test_prompts_are_shown_in_their_place_by_nodes_under_a_transform(scene, nodes):
    prompts = Prompts((Point((1, 2, 3)), Point((9, 8, 7), positive=False)), ROTATED)
    for node in nodes:
        put_under(scene, node, TRANSFORMS["rotated"])
    show(prompts, nodes)
    read = prompts_of(nodes)
    np.testing.assert_allclose(
        [p.ras for p in read.points], [p.ras for p in prompts.points], atol=1e-4
    )
    np.testing.assert_allclose(read.box.corners, ROTATED.corners, atol=1e-4)


def test_a_box_becomes_an_upright_one_round_it_where_nodes_cannot_hold_it(scene, nodes):
    put_under(scene, nodes.box, [matrix([(1, 0, 0), (0, 1, 0.35), (0, 0, 1)])])
    upright = Box.from_bounds((0, 0, 0), (10, 10, 10))
    show(Prompts(box=upright), nodes)
    shown = np.array(box_of(nodes.box).corners)
    assert (shown.min(axis=0) <= np.array(upright.corners).min(axis=0) + 1e-6).all()
    assert (shown.max(axis=0) >= np.array(upright.corners).max(axis=0) - 1e-6).all()


def test_showing_what_is_shown_already_changes_nothing(nodes):
    show(Prompts((Point((1, 2, 3)),), ROTATED), nodes)
    events = []
    for node in nodes:
        node.AddObserver(vtk.vtkCommand.AnyEvent, lambda caller, event: events.append(event))
    show(Prompts((Point((1, 2, 3)),), box_of(nodes.box)), nodes)
    assert events == []


def test_points_that_stay_are_not_taken_away_and_put_back(nodes):
    first, second, third = (0.0, 1.0, 2.0), (3.0, 4.0, 5.0), (6.0, 7.0, 8.0)
    show_points(nodes.positive, [first, second])
    stays = nodes.positive.GetNthControlPointID(0)
    for wanted in ([first], [first, third], [first, third, second], [first, second]):
        show_points(nodes.positive, wanted)
        assert [point.ras for point in points_of(nodes.positive)] == wanted
        assert nodes.positive.GetNumberOfControlPoints() == len(wanted)
        assert nodes.positive.GetNthControlPointID(0) == stays
    # One that was never placed is taken away with those after it.
    nodes.positive.UnsetNthControlPointPosition(0)
    show_points(nodes.positive, [first, second])
    assert [point.ras for point in points_of(nodes.positive)] == [first, second]


def test_a_node_that_is_missing_is_said(nodes):
    with pytest.raises(SceneError, match="list of points"):
        show(Prompts((Point((1, 2, 3)),)), PromptNodes())
    with pytest.raises(SceneError, match="region of interest"):
        show(Prompts(box=ROTATED), PromptNodes())


def test_a_box_under_a_bent_transform_is_refused(scene, nodes):
    nodes.box.SetSize(3, 4, 5)
    nodes.box.SetCenter(1, 1, 1)
    bend(scene, nodes.box)
    with pytest.raises(SceneError, match="bends space"):
        box_of(nodes.box)


def test_a_region_without_a_box_shows_no_handle_at_the_origin(nodes):
    display = nodes.box.GetDisplayNode()
    assert not display.GetHandlesInteractive()
    show(Prompts(box=ROTATED), nodes)
    assert display.GetHandlesInteractive()
    show(None, nodes)
    assert not display.GetHandlesInteractive()
