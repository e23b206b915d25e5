"""Metrics of masks, and what the box alone is worth, mean what they say."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from made_masks import CUBE, block

from segvol_core.errors import SegVolError
from segvol_core.evaluation.baselines import Baselines, baselines, inscribed_ellipsoid
from segvol_core.evaluation.metrics import dice, hausdorff95, surface_dice

NOTHING = np.zeros((20, 20, 20), dtype=bool)


@st.composite
def masks_of_one_shape(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    shape = draw(st.tuples(*[st.integers(1, 5)] * 3))
    first, second = (draw(hnp.arrays(bool, shape).filter(np.any)) for _ in range(2))
    return first, second


def test_dice_of_masks_that_share_half_their_voxels_is_a_half() -> None:
    assert dice(CUBE, np.roll(CUBE, 5, axis=0)) == 0.5
    assert dice(CUBE, CUBE) == 1
    assert dice(CUBE, NOTHING) == 0
    assert dice(NOTHING, NOTHING) == 1


def test_a_surface_within_the_tolerance_counts_as_found_and_none_beyond() -> None:
    shifted = np.roll(CUBE, 1, axis=0)
    assert surface_dice(shifted, CUBE, (2.9, 5, 5)) == 1
    # The two faces across the shift, 2 of 6, are missed; what is round their edges is neither.
    assert surface_dice(shifted, CUBE, (3.1, 3.1, 3.1)) == pytest.approx(4 / 6, abs=0.08)
    assert surface_dice(np.roll(CUBE, 5, axis=0), CUBE, (1, 1, 1), tolerance_mm=10) == 1


def test_the_surface_of_a_part_far_away_counts_as_wrong() -> None:
    small = block((20, 20, 20), (2, 2, 2), (5, 5, 5))
    with_another = small | block((20, 20, 20), (14, 14, 14), (17, 17, 17))
    assert surface_dice(with_another, small, (1, 1, 1)) == pytest.approx(2 / 3)


def test_surfaces_of_empty_masks() -> None:
    assert surface_dice(NOTHING, NOTHING, (1, 1, 1)) == 1
    assert surface_dice(NOTHING, CUBE, (1, 1, 1)) == 0
    assert surface_dice(CUBE, NOTHING, (1, 1, 1)) == 0


def test_surfaces_do_not_mind_how_an_array_lies_in_memory() -> None:
    shifted = np.roll(CUBE, 1, axis=1)
    expected = surface_dice(shifted, CUBE, (3.1, 3.1, 3.1))
    flipped = surface_dice(shifted[::-1, :, ::-1], CUBE[::-1, :, ::-1], (3.1, 3.1, 3.1))
    assert flipped == pytest.approx(expected)


def test_the_distance_that_all_but_a_twentieth_of_the_surface_keeps() -> None:
    assert hausdorff95(CUBE, CUBE, (2, 1, 1)) == 0
    # The face that moved is a sixth of the surface.
    assert hausdorff95(np.roll(CUBE, 2, axis=0), CUBE, (2.5, 1, 1)) == pytest.approx(5)
    spike = CUBE.copy()
    spike[15:19, 10, 10] = True
    assert hausdorff95(spike, CUBE, (1, 1, 1)) == 0


@given(masks_of_one_shape(), st.tuples(*[st.floats(0.5, 5)] * 3))
@settings(max_examples=25, deadline=None)
def test_the_distance_is_that_of_all_pairs_of_surface_voxels(
    pair: tuple[np.ndarray, np.ndarray], spacing: tuple[float, float, float]
) -> None:
    def surface(mask: np.ndarray) -> np.ndarray:
        padded = np.pad(mask, 1)
        outside = [~np.roll(padded, step, axis) for axis in range(3) for step in (1, -1)]
        return np.argwhere(padded & np.any(outside, axis=0)) * spacing

    first, second = (surface(mask) for mask in pair)
    apart = np.linalg.norm(first[:, None] - second[None], axis=-1)
    expected = max(np.percentile(apart.min(axis=axis), 95) for axis in (0, 1))
    assert hausdorff95(*pair, spacing) == pytest.approx(expected, rel=1e-5)


def test_an_empty_mask_is_at_no_distance() -> None:
    assert hausdorff95(NOTHING, CUBE, (1, 1, 1)) is None
    assert hausdorff95(CUBE, NOTHING, (1, 1, 1)) is None
    assert hausdorff95(NOTHING, NOTHING, (1, 1, 1)) == 0


@pytest.mark.parametrize(
    ("module", "metric"),
    [("monai.metrics.surface_dice", surface_dice), ("monai.metrics.utils", hausdorff95)],
)
def test_without_monai_one_is_told_how_to_install_it(
    module: str, metric: Callable[..., float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SegVolError, match=r"pip install 'segvol\[evaluate\]'"):
        metric(CUBE, CUBE, (1, 1, 1))


def test_a_box_is_answered_perfectly_by_the_box_and_an_ellipsoid_by_the_ellipsoid() -> None:
    # Of 4 x 4 x 4 voxels, 32 centres are within the inscribed ball: 8 inner and 24 beside them.
    answered = baselines(block((9, 9, 9), (1, 2, 3), (5, 6, 7)))
    assert answered == Baselines(box=1, ellipsoid=2 * 32 / (32 + 64))
    assert answered.better == 1
    ball = np.pad(inscribed_ellipsoid((6, 9, 12)), 3)
    assert baselines(ball).ellipsoid == 1
    assert baselines(ball).box < 0.75


def test_the_inscribed_ellipsoid_fills_its_share_of_the_box() -> None:
    filled = inscribed_ellipsoid((40, 60, 50))
    assert filled.mean() == pytest.approx(np.pi / 6, abs=0.005)
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        assert filled.any(axis=others)[[1, -2]].all()
