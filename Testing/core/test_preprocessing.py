"""What the network sees is what the published code would show it, and masks come back in place."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from published_figures import DATA

from segvol_core.errors import VolumeError
from segvol_core.model.config import SegVolConfig
from segvol_core.preprocessing import bounding_box, grey_values, prepare, resample, zoom_out

WINDOW = (8, 64, 64)


def test_preprocessing_equals_the_published_code() -> None:
    figures = np.load(DATA / "preprocess.npz")
    volume_zyx = figures["volume_xyz"].transpose(2, 1, 0)
    prepared = prepare(volume_zyx, (1.0, 1.0, 1.0), SegVolConfig(window=WINDOW))
    np.testing.assert_allclose(prepared.image.numpy(), figures["image_zyx"], atol=2e-6)
    zoomed = zoom_out(prepared.image, WINDOW)
    np.testing.assert_allclose(
        zoomed.numpy().squeeze(), figures["zoom_out_image"].squeeze(), atol=2e-6
    )


def blob(shape: tuple[int, int, int]) -> np.ndarray:
    z, y, x = np.ogrid[tuple(slice(n) for n in shape)]
    centre = [n / 2 for n in shape]
    far = sum(((a - c) / (0.3 * n)) ** 2 for a, c, n in zip((z, y, x), centre, shape, strict=True))
    return np.where(far < 1, 60, -1000).astype(np.int16)


@settings(deadline=None, max_examples=30)
@given(
    shape=st.tuples(st.integers(6, 40), st.integers(20, 60), st.integers(20, 60)),
    spacing=st.tuples(st.floats(0.6, 5), st.floats(0.6, 4), st.floats(0.6, 4)),
)
def test_a_voxel_of_a_resampled_volume_is_found_again(
    shape: tuple[int, int, int], spacing: tuple[float, float, float]
) -> None:
    config = SegVolConfig(window=(8, 32, 32), patch=(4, 8, 8), spacing_mm=(3.0, 2.0, 2.0))
    assert config.spacing_mm is not None
    # The blob is four of the network's voxels wide; what is thinner is smoothed away.
    widths = 0.6 * np.array(shape) * spacing
    assume((widths > 4 * np.array(config.spacing_mm)).all())
    prepared = prepare(blob(shape), spacing, config)
    centre = np.array(shape) // 2
    index = np.clip(np.rint(prepared.image_index(centre)), 0, np.array(prepared.image.shape) - 1)
    assert prepared.image[tuple(index.astype(int))] > 0.5


def test_logits_of_the_whole_image_come_back_onto_their_voxels() -> None:
    volume = blob((20, 50, 40))
    for config in (
        SegVolConfig(window=(32, 64, 64)),
        SegVolConfig(window=(8, 32, 32), patch=(4, 8, 8)),
        SegVolConfig(window=(8, 32, 32), patch=(4, 8, 8), spacing_mm=(1.5, 1.0, 1.0)),
    ):
        prepared = prepare(volume, (2.0, 1.0, 1.0), config)
        mask = prepared.restore(prepared.image - 0.5)
        truth = volume > 0
        dice = 2 * (mask & truth).sum() / (mask.sum() + truth.sum())
        assert dice == 1.0 if config.spacing_mm is None else dice > 0.9


def test_no_foreground_gives_an_empty_mask() -> None:
    prepared = prepare(blob((10, 40, 40)), (1, 1, 1), SegVolConfig(window=(32, 64, 64)))
    assert not prepared.restore(torch.full(prepared.image.shape, -1.0)).any()


def test_a_constant_volume_is_refused_with_a_sentence() -> None:
    with pytest.raises(VolumeError, match="nothing to segment"):
        prepare(np.full((4, 5, 6), 7, dtype=np.int16), (1, 1, 1), SegVolConfig(window=WINDOW))


def test_resampling_keeps_the_mean_of_noise() -> None:
    noise = torch.rand(20, 60, 60, generator=torch.Generator().manual_seed(1))
    coarse = resample(noise, (10, 20, 20))
    assert abs(float(coarse.mean()) - 0.5) < 0.02
    assert float(coarse.std()) < 0.12  # without anti-aliasing it would stay near 0.29


def test_the_bounding_box_is_inclusive() -> None:
    mask = torch.zeros(5, 6, 7, dtype=torch.bool)
    assert bounding_box(mask) is None
    mask[1, 2, 3] = mask[3, 4, 5] = True
    assert bounding_box(mask) == ((1, 2, 3), (3, 4, 5))


LEVELS = ((-1000.0, 0.0), (-50.0, 0.25), (150.0, 0.75), (1500.0, 1.0))


@pytest.mark.parametrize("dtype", [np.int16, np.float32, np.int32])
def test_the_same_tissue_is_as_bright_in_every_volume(dtype: type) -> None:
    voxels = np.array([-3000, -1000, -50, 50, 150, 1500, 30000], dtype=dtype)
    grey = grey_values(voxels, LEVELS)
    np.testing.assert_allclose(grey, [0, 0, 0.25, 0.5, 0.75, 1, 1], atol=1e-6)
    assert grey.dtype == np.float32


def test_a_network_with_levels_of_its_own_sees_them() -> None:
    config = SegVolConfig(window=(8, 32, 32), patch=(4, 8, 8), hounsfield_levels=LEVELS)
    prepared = prepare(blob((10, 40, 40)), (1, 1, 1), config)
    assert prepared.image.unique().tolist() == pytest.approx([0.0, 0.525], abs=1e-3)
