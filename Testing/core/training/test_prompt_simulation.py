"""Prompts that training asks with."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segvol_core.model.prompt_encoder import IGNORE, POSITIVE
from segvol_core.training import prompt_simulation as simulate
from segvol_core.training.targets import part_of

boxes = st.tuples(
    st.integers(0, 6), st.integers(0, 12), st.integers(0, 12),
    st.integers(1, 6), st.integers(1, 12), st.integers(1, 12),
)  # fmt: skip


def blob(box: tuple[int, ...], seed: int) -> np.ndarray:
    """A mask with holes inside a box of a (12, 24, 24) window."""
    mask = np.zeros((12, 24, 24), dtype=bool)
    z, y, x, d, h, w = box
    mask[z : z + d, y : y + h, x : x + w] = np.random.default_rng(seed).random((d, h, w)) < 0.8
    mask[z, y, x] = True
    return mask


@settings(max_examples=60, deadline=None)
@given(box=boxes, seed=st.integers(0, 10**6))
def test_clicks_without_neighbours_are_all_on_what_was_clicked(
    box: tuple[int, ...], seed: int
) -> None:
    mask = blob(box, seed)
    z, y, x = (torch.arange(n).float() for n in mask.shape)
    rng = np.random.default_rng(seed)
    _, clicks = simulate.simulate_clicks(mask, mask, (z, y, x), rng, neighbours=False)
    for voxel, label in zip(clicks.voxels.astype(int), clicks.labels, strict=True):
        if label != IGNORE:
            assert mask[tuple(voxel)] == (label == POSITIVE)


@settings(max_examples=60, deadline=None)
@given(box=boxes, seed=st.integers(0, 10**6))
def test_clicks_lie_where_their_label_says(box: tuple[int, ...], seed: int) -> None:
    window = blob(box, seed)
    # The window is the middle of the overview, whose voxels are twice as long.
    positions = tuple(n / 4 - 0.25 + torch.arange(n) / 2 for n in window.shape)
    overview = np.zeros(window.shape, dtype=bool)
    for z, y, x in np.argwhere(window):
        place = [round(float(axis[i])) for axis, i in zip(positions, (z, y, x), strict=True)]
        overview[tuple(place)] = True
    overview[0, 0, :3] = True
    out, inside = simulate.simulate_clicks(overview, window, positions, np.random.default_rng(seed))
    assert out.labels[0] == POSITIVE
    for prompt, mask in ((out, overview), (inside, window)):
        for voxel, label in zip(prompt.voxels.astype(int), prompt.labels, strict=True):
            if label == IGNORE:
                assert (voxel == -1).all()
                continue
            assert (voxel >= 0).all()
            assert (voxel < mask.shape).all()
    for voxel, label in zip(out.voxels.astype(int), out.labels, strict=True):
        if label == POSITIVE:
            assert overview[tuple(voxel)]
    positive = inside.voxels[inside.labels == POSITIVE].astype(int)
    assert len(positive) <= simulate.POINT_SLOTS
    if not len(positive):
        assert (inside.labels != POSITIVE).all()
        assert len(inside.labels) >= 1
    for z, y, x in positive[:1]:
        # The same click: the window's voxel lies in the overview's.
        places = [float(axis[i]) for axis, i in zip(positions, (z, y, x), strict=True)]
        apart = np.array(places) - out.voxels[out.labels == POSITIVE]
        assert (np.abs(apart).max(axis=1) <= 1.0).any()


@settings(max_examples=60, deadline=None)
@given(box=boxes, seed=st.integers(0, 10**6))
def test_boxes_are_near_the_target_zoomed_out_and_in(box: tuple[int, ...], seed: int) -> None:
    overview = blob(box, seed)
    # The window is the middle of the overview, whose voxels are twice as long.
    positions = tuple(n / 4 - 0.25 + torch.arange(n) / 2 for n in overview.shape)
    nearest = [np.rint(axis.numpy()).astype(int) for axis in positions]
    window = overview[np.ix_(*nearest)]
    out, drawn = simulate.simulate_box(overview, window, positions, np.random.default_rng(seed))
    tight = simulate.box_of(overview)
    inside = np.argwhere(overview)
    assert (tight[:3] == inside.min(0)).all()
    assert (tight[3:] == inside.max(0)).all()
    assert (out[:3] >= 0).all()
    assert (out[3:] < overview.shape).all()
    assert (out[:3] <= out[3:]).all()
    assert np.abs(out - tight).max() <= 3
    # The same box: each of its sides lies within a voxel of the overview's.
    first = np.array([float(axis[0]) for axis in positions] * 2)
    assert np.abs((first + drawn / 2).clip(0, np.tile(overview.shape, 2) - 1) - out).max() <= 0.5


@pytest.mark.parametrize("seed", range(5))
def test_a_drawn_box_is_as_sharp_as_the_window_shows_the_target(seed: int) -> None:
    # One voxel of the overview is four of the window.
    positions = tuple(n / 2 - 0.5 + (torch.arange(n) - (n - 1) / 2) / 4 for n in (12, 24, 24))
    window = np.zeros((12, 24, 24), dtype=bool)
    window[3:10, 6:15, 7:] = True
    overview = np.zeros((12, 24, 24), dtype=bool)
    for z, y, x in np.argwhere(window):
        place = [round(float(axis[i])) for axis, i in zip(positions, (z, y, x), strict=True)]
        overview[tuple(place)] = True
    overview[:, :, 15:20] = overview[:, :, 14:15]
    _, drawn = simulate.simulate_box(overview, window, positions, np.random.default_rng(seed))
    assert np.abs(drawn[:5] - [3, 6, 7, 9, 14]).max() <= 2
    assert drawn[5] > 30, "it goes on beyond the window"


@settings(max_examples=60, deadline=None)
@given(box=boxes, seed=st.integers(0, 10**6))
def test_a_part_of_a_target_is_cut_alike_zoomed_out_and_in(box: tuple[int, ...], seed: int) -> None:
    overview = blob(box, seed)
    # The window has the overview's own voxels, shifted.
    positions = (torch.arange(6) + 2, torch.arange(24), torch.arange(12) + 6)
    shown = np.s_[2:8, :, 6:18]
    part = part_of((overview, overview[shown]), positions, np.random.default_rng(seed))
    if part is None:
        return
    out, inside = part
    assert (out <= overview).all()
    assert 0 < out.sum() <= overview.sum()
    assert (inside == out[shown]).all()


def test_the_centre_of_an_organ_is_deep_inside_it() -> None:
    mask = np.zeros((12, 24, 24), dtype=bool)
    mask[2:9, 4:11, 6:13] = True
    mask[5, 7, 13:24] = True  # a thin arm, which a centroid would follow
    assert np.abs(simulate.centre_voxel(mask) - [5, 7, 9]).max() <= 1
