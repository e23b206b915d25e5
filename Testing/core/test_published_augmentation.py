"""`augmentation: published`: what the published training changes, as often and as far."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from command_line import assert_refused, run
from made_cts import TINY, write_named_folder
from monai.transforms import RandScaleIntensity, RandShiftIntensity
from scipy.stats import binomtest, ks_2samp

from segvol_core.training import augmentation as augment
from segvol_core.training.augmentation import PUBLISHED, Strength
from segvol_core.training.cases import TrainingCase, prepare_cases
from segvol_core.training.examples import ExampleSource
from segvol_core.training.preparation import records_of
from segvol_core.training.pretraining_settings import WindowSettings
from segvol_core.training.published_augmentation import middle_of_crop
from segvol_core.training.run import run_training
from segvol_core.training.settings import TrainingSettings, read_settings


@pytest.fixture(scope="module")
def cts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_named_folder(tmp_path_factory.mktemp("cts"), 2)


def config(folder: Path, cts: Path, augmentation: Any) -> Path:
    values = {
        "data": str(cts), "output": "out", "start": None, "network": TINY.to_dict(), "steps": 1,
        "examples": {"batches": 1, "masks": 2, "augmentation": augmentation},
    }  # fmt: skip
    path = folder / "train.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.fixture(scope="module")
def case(cts: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingCase:
    folder = tmp_path_factory.mktemp("settings")
    settings: TrainingSettings = read_settings(config(folder, cts, "published"))
    return next(iter(prepare_cases(records_of(settings.data), TINY)))


def test_a_training_takes_the_published_changes_by_name(cts: Path, tmp_path: Path) -> None:
    settings = read_settings(config(tmp_path, cts, "published"))
    assert settings.examples.augmentation == PUBLISHED
    assert run_training(settings).steps == 1
    assert WindowSettings().augmentation == PUBLISHED
    assert read_settings(config(tmp_path, cts, {"scale": 1.1})).examples.augmentation == Strength(
        scale=1.1
    )
    sentence = "“examples.augmentation” is wrong: give “published”, or fields"
    assert_refused(run("train", config(tmp_path, cts, "none"), "--overwrite"), sentence)


def test_the_overview_is_the_whole_volume_with_axes_turned_round_now_and_then() -> None:
    rng = np.random.default_rng(0)
    turned = np.zeros(3, dtype=int)
    for _ in range(500):
        overview = augment.draw_overview((20, 30, 40), TINY.window, PUBLISHED, rng, 1.0)
        turned += overview.flipped
        np.testing.assert_allclose(overview.step, np.array([20, 30, 40]) / TINY.window)
        np.testing.assert_allclose(np.abs(overview.matrix), np.diag(overview.step))
    assert all(binomtest(int(count), 500, 0.2).pvalue > 1e-3 for count in turned)


def test_grey_values_change_as_by_the_transforms_of_the_published_code() -> None:
    # Air and a bright voxel tell scale from shift.
    image = torch.tensor([0.0, 0.8]).reshape(1, 1, 2)
    rng = np.random.default_rng(0)
    ours = [augment.change_grey_values(image, rng, "published").flatten() for _ in range(4000)]
    scale, shift = RandScaleIntensity(0.1, prob=0.1), RandShiftIntensity(0.1, prob=0.1)
    scale.set_random_state(1)
    shift.set_random_state(2)
    theirs = [torch.as_tensor(shift(scale(image))).flatten() for _ in range(4000)]
    for voxel in range(2):
        first, second = ([float(each[voxel]) for each in all_] for all_ in (ours, theirs))
        assert ks_2samp(first, second).pvalue > 1e-3
    shifted = sum(float(each[0]) != 0 for each in ours)
    assert binomtest(shifted, 4000, 0.1).pvalue > 1e-3


def test_two_of_three_crops_lie_round_a_labelled_voxel() -> None:
    labelled, image = np.zeros((2, 4, 8, 8), dtype=bool)
    labelled[1:3, 2:5, 2:5] = True
    image[:, 1:7, 1:7] = True
    rng = np.random.default_rng(0)
    voxels = [tuple(middle_of_crop(labelled, image, rng).astype(int)) for _ in range(600)]
    assert all(image[voxel] for voxel in voxels)
    inside = sum(bool(labelled[voxel]) for voxel in voxels)
    assert binomtest(inside, 600, 2 / 3).pvalue > 1e-3
    nothing = np.zeros_like(image)
    assert image[tuple(middle_of_crop(nothing, image, rng).astype(int))]
    np.testing.assert_array_equal(middle_of_crop(nothing, nothing, rng), [1.5, 3.5, 3.5])


def test_examples_have_unchanged_geometry_and_crops_at_the_volumes_own_voxels(
    case: TrainingCase,
) -> None:
    source = ExampleSource(case, TINY.window, mirror_names=False)
    rng = np.random.default_rng(0)
    whole = augment.draw_overview(
        tuple(case.image.shape), TINY.window, augment.NONE, rng, 1.0
    ).zoomed_out()
    known = augment.sample_image(case.image, whole)
    same = 0
    for _ in range(40):
        example = source.draw(rng, batches=1, masks=2, strength=PUBLISHED)
        turned = [
            torch.equal(example.overview, known.flip(axes) if axes else known)
            for axes in ((), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2))
        ]
        same += any(turned)
        for axis, length, n in zip(example.positions, case.image.shape, TINY.window, strict=True):
            np.testing.assert_allclose(np.diff(axis), n / length, rtol=1e-3)
    # Grey values stay as they are in 0.9 x 0.9 of the examples.
    assert binomtest(same, 40, 0.81).pvalue > 1e-3
