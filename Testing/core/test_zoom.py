"""Zoom-out-zoom-in gives the published code's masks, and looks where the user pointed."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from published_figures import DATA, drawn_model

from segvol_core import zoom
from segvol_core.embeddings import WindowEncoder
from segvol_core.inference import Stage, Step, ZoomOutZoomIn
from segvol_core.model.config import SegVolConfig
from segvol_core.model.segvol import SegVol
from segvol_core.preprocessing import bounding_box, prepare
from segvol_core.zoom import ImagePrompt, Region

WINDOW = (8, 64, 64)
NO_POINTS = (torch.zeros(0, 3, dtype=torch.long), torch.zeros(0, dtype=torch.long))


@pytest.fixture(scope="module")
def model() -> SegVol:
    return drawn_model(SegVolConfig(window=WINDOW))


def run(model: SegVol, image: torch.Tensor, prompt: ImagePrompt) -> list[Step]:
    encoder = WindowEncoder(model, image, cache_bytes=2**28)
    return list(ZoomOutZoomIn(model, image, encoder, "published").run([prompt]))


def assert_same_logits(ours: torch.Tensor, theirs: np.ndarray) -> None:
    """Equal to the rounding of the float16 that the figures are stored in."""
    theirs = theirs.astype(np.float32)
    assert ours.shape == theirs.shape
    assert np.abs(ours.numpy() - theirs).max() <= 1e-3 * np.abs(theirs).max()
    unsure = np.abs(theirs) < 1e-3 * np.abs(theirs).max()
    assert ((ours.numpy() > 0) == (theirs > 0))[~unsure].all()


def blown_up(box: tuple[int, ...], shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """The image voxels of a box given in zoom-out voxels."""
    low, high = [], []
    for axis in range(3):
        index = zoom.zoomed_out_index(shape[axis], WINDOW[axis])
        voxels = torch.nonzero((index >= box[axis]) & (index <= box[axis + 3]))
        low.append(int(voxels[0]))
        high.append(int(voxels[-1]))
    return tuple(low), tuple(high)


BOX = (2, 20, 18, 6, 50, 44)


@pytest.mark.parametrize(
    ("kind", "text", "box"),
    [("text", "liver", None), ("box", None, BOX), ("text_box", "spleen", BOX)],
)
def test_the_whole_procedure_equals_the_published_one(
    kind: str, text: str | None, box: tuple[int, ...] | None, model: SegVol
) -> None:
    volume = np.load(DATA / "preprocess.npz")["volume_xyz"].transpose(2, 1, 0)
    prepared = prepare(volume, (1, 1, 1), model.config)
    shape = tuple(prepared.image.shape)
    prompt = ImagePrompt(*NO_POINTS, box and blown_up(box, shape), text)

    coarse, *_, final = run(model, prepared.image, prompt)

    figures = np.load(DATA / "zoom_small_window.npz")
    theirs = torch.from_numpy(figures[f"{kind}_zoom_out"].astype(np.float32))
    assert_same_logits(coarse.logits, zoom.expand_zoomed_out(theirs, shape).numpy())
    assert_same_logits(final.logits, figures[f"{kind}_final"])


def test_a_click_equals_the_published_click_where_that_has_no_choice(model: SegVol) -> None:
    figures = np.load(DATA / "zoom_point.npz")
    image = torch.from_numpy(figures["image_zyx"])
    point = torch.from_numpy(figures["point_full"])[None]
    prompt = ImagePrompt(point, torch.tensor([1]), None, None)
    *_, final = run(model, image, prompt)
    np.testing.assert_array_equal(
        zoom.zoom_out_points(
            ImagePrompt(point, torch.tensor([1]), None, None), (12, 96, 96), WINDOW
        )[0][0, 0],
        figures["point_zoom_out"],
    )
    assert_same_logits(final.logits, figures["final"])


def test_regions_of_interest_are_the_published_ones() -> None:
    for case in json.loads((DATA / "roi_cases.json").read_text()):
        foreground = torch.zeros(case["shape"], dtype=torch.bool)
        low, high = case["foreground"]
        foreground[tuple(low)] = foreground[tuple(high)] = True
        found = bounding_box(foreground)
        assert found is not None
        region = zoom.region_of_interest(found, tuple(case["shape"]), tuple(case["window"]))
        first, last = case["roi"][:3], case["roi"][3:]
        stop = [min(b + 1, n) for b, n in zip(last, case["shape"], strict=True)]
        assert region == Region(tuple(first), tuple(stop))


def test_an_empty_coarse_mask_is_not_looked_at_closer() -> None:
    assert bounding_box(torch.zeros(4, 5, 6, dtype=torch.bool)) is None


sizes = st.tuples(*(st.integers(1, 4 * w) for w in WINDOW))


@given(shape=sizes, data=st.data())
def test_a_lattice_covers_what_was_found_and_stays_inside(
    shape: tuple[int, int, int], data: st.DataObject
) -> None:
    low = tuple(data.draw(st.integers(0, n - 1)) for n in shape)
    high = tuple(data.draw(st.integers(a + 1, n)) for a, n in zip(low, shape, strict=True))
    windows = zoom.lattice_cover(Region(low, high), shape, WINDOW)
    assert set(windows) <= set(zoom.lattice_windows(shape, WINDOW))
    for axis in range(3):
        covered = set()
        for window in windows:
            assert window.content.size[axis] == min(shape[axis], WINDOW[axis])
            covered |= set(range(window.content.low[axis], window.content.high[axis]))
        assert covered >= set(range(low[axis], high[axis]))


@given(size=st.tuples(*(st.integers(1, 3 * w) for w in WINDOW)))
def test_published_windows_cover_their_region(size: tuple[int, int, int]) -> None:
    region = Region((5, 6, 7), tuple(a + n for a, n in zip((5, 6, 7), size, strict=True)))
    windows = zoom.published_windows(region, WINDOW)
    assert len(set(windows)) == len(windows)
    covered = torch.zeros(size, dtype=torch.bool)
    for window in windows:
        assert window.extent.size == WINDOW
        covered[window.content.relative_to(region.low).slices] = True
    assert covered.all()


@given(shape=sizes, data=st.data())
def test_no_click_is_lost_in_zooming(shape: tuple[int, int, int], data: st.DataObject) -> None:
    click = torch.tensor([[data.draw(st.integers(0, n - 1)) for n in shape]])
    prompt = ImagePrompt(click, torch.tensor([1]), None, None)
    zoomed, labels = zoom.zoom_out_points(prompt, shape, WINDOW)
    assert labels.tolist() == [[1]]
    assert all(0 <= c < w for c, w in zip(zoomed[0, 0].tolist(), WINDOW, strict=True))
    for window in zoom.lattice_windows(shape, WINDOW):
        points, labels = zoom.points_in_window(prompt, window, shape, WINDOW)
        inside = all(
            a <= c < b
            for a, c, b in zip(
                window.extent.low, click[0].tolist(), window.extent.high, strict=True
            )
        )
        if inside:
            assert labels[0, 0] == 1
            assert (points[0, 0] + torch.tensor(window.extent.low)).tolist() == click[0].tolist()


def test_negative_clicks_are_passed_on_when_zooming_in() -> None:
    points = torch.tensor([[4, 10, 10], [5, 20, 20]])
    prompt = ImagePrompt(points, torch.tensor([1, 0]), None, None)
    (window,) = zoom.lattice_windows(WINDOW, WINDOW)
    voxels, labels = zoom.points_in_window(prompt, window, WINDOW, WINDOW)
    assert [5, 20, 20] in voxels[0][labels[0] == 0].tolist()


def test_a_window_without_a_click_gets_a_silent_point() -> None:
    prompt = ImagePrompt(torch.tensor([[0, 0, 0]]), torch.tensor([1]), None, None)
    window = zoom.lattice_windows((16, 128, 128), WINDOW)[-1]
    voxels, labels = zoom.points_in_window(prompt, window, (16, 128, 128), WINDOW)
    assert (voxels.tolist(), labels.tolist()) == ([[[-1, -1, -1]]], [[-1]])


def test_cutting_a_window_pads_it_with_zeros() -> None:
    image = torch.ones(6, 70, 70)
    (window,) = zoom.published_windows(Region((1, 2, 3), (5, 60, 60)), WINDOW)
    cut = window.cut_from(image)
    assert cut.shape == WINDOW
    assert int(cut.sum()) == 4 * 58 * 57


def test_the_steps_are_coarse_then_progress_then_final(model: SegVol) -> None:
    volume = np.load(DATA / "preprocess.npz")["volume_xyz"].transpose(2, 1, 0)
    prepared = prepare(volume, (1, 1, 1), model.config)
    steps = run(model, prepared.image, ImagePrompt(*NO_POINTS, None, "liver"))
    stages = [step.stage for step in steps]
    assert stages[0] is Stage.COARSE
    assert stages[-1] is Stage.FINAL
    assert set(stages[1:-1]) == {Stage.PROGRESS}
    assert [s.fraction for s in steps] == sorted(s.fraction for s in steps)
