"""Contrast medium in training windows."""

import numpy as np
import pytest
import torch

from segvol_core.training.contrast_medium import ContrastMedium
from segvol_core.training.starter_network import HOUNSFIELD_LEVELS

KIDNEY, BONE, BACKGROUND = 1, 2, 0
VALUES = {"kidney_left": (KIDNEY,), "vertebrae_L1": (BONE,)}
MEDIUM = ContrastMedium(1.0, HOUNSFIELD_LEVELS)


def grey(hounsfield: float) -> float:
    levels, values = zip(*HOUNSFIELD_LEVELS, strict=True)
    return float(np.interp(hounsfield, levels, values))


def hounsfield(value: float) -> float:
    levels, values = zip(*HOUNSFIELD_LEVELS, strict=True)
    return float(np.interp(value, values, levels))


@pytest.fixture
def labels() -> torch.Tensor:
    labels = torch.zeros(12, 12, 12, dtype=torch.uint8)
    labels[2:7, 2:10, 2:10] = KIDNEY
    labels[8:11] = BONE
    return labels


def test_kidneys_light_up_and_bones_stay(labels: torch.Tensor) -> None:
    image = torch.full(labels.shape, grey(30.0))
    rng = np.random.default_rng(0)
    seen = []
    for _ in range(30):
        after = MEDIUM.inject(image, labels, VALUES, rng)
        seen.append(hounsfield(float(after[4, 5, 5])) - 30)
        assert torch.equal(after[9:], image[9:])
        assert float(after[0, 0, 0]) == pytest.approx(float(image[0, 0, 0]))
    assert max(seen) > 80
    assert all(added > 20 or -11 < added < 1 for added in seen)


def test_bright_organs_are_shown_without_the_medium_now_and_then(labels: torch.Tensor) -> None:
    image = torch.full(labels.shape, grey(200.0))
    rng = np.random.default_rng(0)
    seen = [
        hounsfield(float(MEDIUM.inject(image, labels, VALUES, rng)[4, 5, 5])) for _ in range(40)
    ]
    assert sum(value < 150 for value in seen) > 5
    assert min(seen) > 19
    assert max(seen) > 280


def test_a_window_without_such_organs_stays_as_it_is(labels: torch.Tensor) -> None:
    image = torch.rand(labels.shape)
    rng = np.random.default_rng(0)
    after = MEDIUM.inject(image, labels, {"vertebrae_L1": (BONE,)}, rng)
    assert torch.equal(after, image)


def test_the_border_of_a_bright_organ_is_as_soft_as_an_image(labels: torch.Tensor) -> None:
    image = torch.full(labels.shape, grey(30.0))
    rng = np.random.default_rng(0)
    windows = [MEDIUM.inject(image, labels, VALUES, rng) for _ in range(10)]
    brightest = max(windows, key=lambda window: float(window.max()))
    middle, border, outside = (float(brightest[4, 5, x]) for x in (5, 2, 1))
    assert middle > border > outside > grey(30.0)
