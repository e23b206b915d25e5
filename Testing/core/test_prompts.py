"""Prompts: what is refused and with which words, and on which voxels the rest lands."""

import json

import numpy as np
import pytest
from geometry_strategies import affines, rotation, shapes
from hypothesis import given
from hypothesis import strategies as st

from segvol_core.errors import PromptError
from segvol_core.prompts import Box, Point, Prompts, box_from_ijk, place, point_from_ijk
from segvol_core.volume import Volume

finite = st.floats(-1e4, 1e4)
positions = st.tuples(finite, finite, finite)


def upright_volume(shape_zyx=(10, 20, 30), spacing_zyx=(2.0, 1.0, 0.5)):
    """CT in RAS order, so that (z, y, x) is (k, j, i), with the first voxel at (0, 0, 0)."""
    return Volume(
        np.zeros(shape_zyx, dtype=np.int16), np.diag((*map(float, spacing_zyx[::-1]), 1.0))
    )


# Places


@given(affines(shear=True), shapes, st.data())
def test_a_click_on_a_voxel_lands_on_that_voxel_in_any_orientation(affine, shape_kji, data):
    volume = Volume(np.arange(np.prod(shape_kji)).reshape(shape_kji), affine)
    k, j, i = (data.draw(st.integers(0, n - 1)) for n in shape_kji)
    canonical = volume.canonical()
    placed = place(Prompts((point_from_ijk(volume, (i, j, k)),)), canonical)
    assert canonical.voxels[tuple(placed.points_zyx[0])] == volume.voxels[k, j, i]


@given(affines(shear=True), shapes, st.data())
def test_a_box_of_voxels_covers_exactly_those_voxels_in_any_orientation(affine, shape_kji, data):
    volume = Volume(np.zeros(shape_kji), affine)
    ends = [sorted(data.draw(st.tuples(*[st.integers(0, n - 1)] * 2))) for n in shape_kji]
    first_kji, last_kji = np.array(ends).T
    box = box_from_ijk(volume, first_kji[::-1].tolist(), last_kji[::-1].tolist())
    canonical = volume.canonical()
    placed = place(Prompts(box=box), canonical)
    mask = np.zeros(canonical.shape_zyx, dtype=bool)
    first, last = placed.box_zyx[:3], placed.box_zyx[3:]
    mask[tuple(slice(a, b + 1) for a, b in zip(first, last, strict=True))] = True
    expected = np.zeros(shape_kji, dtype=bool)
    expected[tuple(slice(a, b + 1) for a, b in ends)] = True
    np.testing.assert_array_equal(canonical.restore(mask), expected)


def test_points_keep_their_order_and_labels():
    points = (Point((1, 2, 4)), Point((2, 3, 6), positive=False), Point((0, 0, 0)))
    placed = place(Prompts(points), upright_volume().canonical())
    np.testing.assert_array_equal(placed.points_zyx, [(2, 2, 2), (3, 3, 4), (0, 0, 0)])
    np.testing.assert_array_equal(placed.labels, [1, 0, 1])
    assert placed.points_zyx.dtype == placed.labels.dtype == np.int64
    assert placed.box_zyx is None
    assert placed.text is None


def test_text_alone_has_no_points_and_no_box():
    placed = place(Prompts(text="liver"), upright_volume().canonical())
    assert placed.points_zyx.shape == (0, 3)
    assert placed.labels.shape == (0,)
    assert placed.text == "liver"


@pytest.mark.parametrize(
    "ras", [(-0.25, -0.5, -1.0), (14.74, 19.49, 18.99)], ids=["first voxel", "last voxel"]
)
def test_a_click_on_the_edge_of_an_outer_voxel_is_inside(ras):
    place(Prompts((Point(ras),)), upright_volume().canonical())


@pytest.mark.parametrize("ras", [(-0.26, 0, 0), (0, 19.5, 0), (0, 0, 19.0), (0, 0, 1e9)])
def test_a_click_outside_the_volume_is_named(ras):
    with pytest.raises(PromptError) as caught:
        place(Prompts((Point((1, 1, 1)), Point(ras))), upright_volume().canonical())
    assert f"({ras[0]:g}, {ras[1]:g}, {ras[2]:g}) mm (RAS) is outside" in str(caught.value)


def test_a_position_is_told_without_what_rounding_errors_leave():
    with pytest.raises(PromptError, match=r"\(0, 300\.123, 0\) mm"):
        place(Prompts((Point((3.6e-9, 300.1234, 0)),)), upright_volume().canonical())


def test_a_negative_click_outside_the_volume_is_refused_too():
    prompts = Prompts((Point((0, 0, 500), positive=False),), text="liver")
    with pytest.raises(PromptError, match="outside"):
        place(prompts, upright_volume().canonical())


def test_a_box_covers_the_voxels_whose_centres_it_holds():
    box = Box.from_bounds((0.9, 2.2, 3.9), (2.1, 4.8, 8.1))
    placed = place(Prompts(box=box), upright_volume().canonical())
    np.testing.assert_array_equal(placed.box_zyx, (2, 3, 2, 4, 4, 4))


def test_a_box_that_sticks_out_is_clipped():
    box = Box.from_bounds((-50, 10, -5), (5, 500, 6))
    placed = place(Prompts(box=box), upright_volume().canonical())
    np.testing.assert_array_equal(placed.box_zyx, (0, 10, 0, 3, 19, 10))


@pytest.mark.parametrize(
    ("low", "high"),
    [((-9, 1, 1), (-1, 2, 2)), ((1, 1, 20), (2, 2, 30)), ((1, 19.6, 1), (2, 19.9, 2))],
)
def test_a_box_outside_the_volume_is_refused(low, high):
    with pytest.raises(PromptError, match=r"box round .* outside"):
        place(Prompts(box=Box.from_bounds(low, high)), upright_volume().canonical())


@given(st.tuples(st.floats(-0.2, 14.7), st.floats(-0.4, 19.4), st.floats(-0.9, 18.9)))
def test_a_box_thinner_than_a_voxel_covers_the_voxel_it_is_in(ras):
    volume = upright_volume().canonical()
    placed = place(Prompts((Point(ras),), Box.from_bounds(ras, ras)), volume)
    np.testing.assert_array_equal(placed.box_zyx[:3], placed.box_zyx[3:])
    np.testing.assert_array_equal(placed.box_zyx[:3], placed.points_zyx[0])


def test_a_rotated_box_becomes_the_box_round_it():
    volume = upright_volume((40, 40, 40), (1.0, 1.0, 1.0)).canonical()
    turn = rotation((0, 0, np.pi / 4))
    box = Box.from_center((20, 20, 20), turn, (10, 10, 4))
    half_diagonal = np.sqrt(50)  # 7.07 mm
    low = np.ceil(20 - half_diagonal)
    high = np.floor(20 + half_diagonal)
    placed = place(Prompts(box=box), volume)
    np.testing.assert_array_equal(placed.box_zyx, (18, low, low, 22, high, high))


def test_the_axes_of_a_rotated_box_may_have_any_length():
    turn = rotation((0.1, 0.2, 0.3))
    one = Box.from_center((1, 2, 3), turn, (4, 5, 6))
    other = Box.from_center((1, 2, 3), turn * (2, 3, 4), (4, 5, 6))
    np.testing.assert_allclose(one.corners, other.corners)


def test_bounds_may_come_in_either_order():
    one, other = Box.from_bounds((0, 5, 2), (1, 3, 9)), Box.from_bounds((1, 3, 9), (0, 5, 2))
    assert set(one.corners) == set(other.corners)


def test_corners_may_come_in_any_order():
    corners = Box.from_bounds((1, 2, 2), (3, 4, 6)).corners
    volume = upright_volume().canonical()
    placed = [
        place(Prompts(box=Box.from_corners(order)), volume).box_zyx
        for order in (corners, corners[::-1])
    ]
    np.testing.assert_array_equal(*placed)


@pytest.mark.parametrize("ijk", [(-1, 0, 0), (0, 20, 0), (30, 0, 0), (0, 0, 10)])
def test_a_voxel_that_the_volume_does_not_have_is_named(ijk):
    with pytest.raises(PromptError, match=r"30 x 20 x 10") as caught:
        point_from_ijk(upright_volume(), ijk)
    assert str(ijk) in str(caught.value)


def test_a_negative_voxel_click_stays_negative():
    assert not point_from_ijk(upright_volume(), (1, 2, 3), positive=False).positive


# What is refused


@pytest.mark.parametrize(
    "ras",
    [
        (1, 2),
        (1, 2, 3, 4),
        (1, 2, np.nan),
        (1, 2, np.inf),
        ("1", "2", "3"),
        "abc",
        None,
        5,
        (1, 2, None),
        ((1, 2), 3, 4),
        (True, False, True),
    ],
)
def test_a_point_that_is_not_three_finite_numbers_is_refused(ras):
    with pytest.raises(PromptError, match="3 finite numbers"):
        Point(ras)


def test_a_point_is_positive_or_negative_and_nothing_else():
    with pytest.raises(PromptError, match="positive"):
        Point((1, 2, 3), positive=1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Box(()),
        lambda: Box("12345678"),
        lambda: Box(((0.0, 0.0, 0.0),) * 7),
        lambda: Box(((0.0, 0.0, np.nan),) * 8),
        lambda: Box.from_corners(np.zeros((7, 3))),
        lambda: Box.from_bounds((0, 0), (1, 1)),
        lambda: Box.from_bounds((0, 0, np.inf), (1, 1, 1)),
        lambda: Box.from_center((0, 0, 0), np.zeros((3, 3)), (1, 1, 1)),
        lambda: Box.from_center((0, 0, 0), np.eye(3), (1, -1, 1)),
        lambda: Box.from_center((0, 0, 0), np.eye(2), (1, 1, 1)),
    ],
)
def test_a_box_that_is_no_box_is_refused(make):
    with pytest.raises(PromptError, match=r"[Bb]ox|corner"):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Prompts, "no prompt"),
        (lambda: Prompts((Point((0, 0, 0), positive=False),)), "only negative"),
        (lambda: Prompts(text=""), "empty"),
        (lambda: Prompts(text="  "), "empty"),
        (lambda: Prompts(text=5), "empty"),
        (lambda: Prompts(((1, 2, 3),)), "must be points"),
        (lambda: Prompts(box=((0, 0, 0), (1, 1, 1))), "must be a box"),
    ],
)
def test_prompts_that_say_nothing_are_refused(make, message):
    with pytest.raises(PromptError, match=message):
        make()


def test_negative_clicks_are_fine_beside_a_box_or_a_text():
    point = Point((0, 0, 0), positive=False)
    Prompts((point,), box=Box.from_bounds((0, 0, 0), (1, 1, 1)))
    Prompts((point,), text="liver")


def test_prompts_are_values_that_can_be_compared_and_kept_in_sets():
    one = Prompts([Point((1, 2, 3))], Box.from_bounds((0, 0, 0), (1, 1, 1)), " liver ")
    other = Prompts((Point((1.0, 2.0, 3.0)),), Box.from_bounds((0, 0, 0), (1, 1, 1)), "liver")
    assert one == other
    assert len({one, other}) == 1


# JSON


@given(
    st.lists(st.tuples(positions, st.booleans()), max_size=4),
    st.none() | st.tuples(positions, positions),
    st.none() | st.text(min_size=1).filter(str.strip),
)
def test_prompts_survive_json(points, bounds, text):
    if bounds is None and text is None and not any(positive for _, positive in points):
        return
    prompts = Prompts(
        points=tuple(Point(ras, positive) for ras, positive in points),
        box=None if bounds is None else Box.from_bounds(*bounds),
        text=text,
    )
    assert Prompts.from_dict(json.loads(json.dumps(prompts.to_dict()))) == prompts


def test_a_point_in_json_is_positive_unless_it_says_otherwise():
    assert Prompts.from_dict({"points": [{"ras": [1, 2, 3]}]}).points[0].positive


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "liver",
        {},
        {"text": ""},
        {"text": ["liver"]},
        {"text": "liver", "label": 1},
        {"points": {"ras": [1, 2, 3]}},
        {"points": "abc"},
        {"points": [[1, 2, 3]]},
        {"points": [{"positive": True}]},
        {"points": [{"ras": [1, 2]}]},
        {"points": [{"ras": [1, 2, "3"]}]},
        {"points": [{"ras": [1, 2, 3], "positive": "yes"}]},
        {"points": [{"ras": [1, 2, 3], "label": 1}]},
        {"points": [{"ras": [1, 2, 10**400]}]},
        {"box": [[0, 0, 0], [1, 1, 1]]},
        {"box": {"min": [0, 0, 0]}},
        {"box": [[0, 0]] * 8},
        {"box": [None] * 8},
    ],
)
def test_damaged_json_is_refused_with_a_sentence(data):
    with pytest.raises(PromptError) as caught:
        Prompts.from_dict(data)
    assert str(caught.value).endswith(".")
