"""Geometry and grey values that training changes."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from segvol_core.training import augmentation as augment
from segvol_core.training import prompt_simulation as simulate
from segvol_core.training.augmentation import Strength
from segvol_core.training.validation import dice
from segvol_core.training.zoom_in import boxes_around, coarse_in_window
from segvol_core.zoom import NO_BOX


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), zoomed_out=st.booleans())
def test_image_and_labels_move_together(seed: int, zoomed_out: bool) -> None:
    rng = np.random.default_rng(seed)
    labels = torch.zeros(20, 30, 30, dtype=torch.uint8)
    labels[5:14, 8:20, 10:24] = 1
    image = labels.half()
    strength = Strength(flips=(0.5, 0.5, 0.5))
    overview = augment.draw_overview((20, 30, 30), (16, 24, 24), strength, rng, 0.7)
    geometry = overview.zoomed_out()
    if not zoomed_out:
        organ = augment.sample_labels(labels, geometry) == 1
        geometry, _ = overview.zoomed_in(organ.nonzero().double().mean(0).numpy())
    seen = augment.sample_image(image, geometry) > 0.5
    wanted = augment.sample_labels(labels, geometry) == 1
    assert wanted.any()
    assert dice(seen.numpy(), wanted.numpy()) > (0.999 if zoomed_out else 0.9)


def test_without_augmentation_a_window_shows_the_image_itself() -> None:
    image = torch.rand(12, 20, 20)
    rng = np.random.default_rng(0)
    overview = augment.draw_overview((12, 20, 20), (12, 20, 20), augment.NONE, rng, 1.0)
    assert torch.equal(augment.sample_image(image, overview.zoomed_out()), image)
    halved = augment.draw_overview((12, 20, 20), (4, 8, 8), augment.NONE, rng, 1.0)
    part, positions = halved.zoomed_in(np.array([1.5, 3.5, 3.5]))
    assert torch.allclose(augment.sample_image(image, part), image[4:8, 6:14, 6:14], atol=1e-4)
    # Four voxels of twelve are a third of the overview's four.
    assert torch.allclose(positions[0], torch.tensor([1.0, 4 / 3, 5 / 3, 2.0]))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_a_window_finds_what_zooming_out_found_where_it_was_found(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = torch.zeros(48, 90, 90, dtype=torch.uint8)
    labels[8:40, 20:60, 30:80] = 1
    strength = Strength(flips=(0.5, 0.5, 0.5))
    overview = augment.draw_overview((48, 90, 90), (16, 24, 24), strength, rng, 0.7)
    coarse = augment.sample_labels(labels, overview.zoomed_out()).float()
    geometry, positions = overview.zoomed_in(rng.uniform(0, 1, 3) * [15, 23, 23])
    wanted = augment.sample_labels(labels, geometry) == 1
    found = coarse_in_window(coarse[None, None] * 2 - 1, positions)[0] > 0
    # The coarse voxels are three to four times as long.
    assert float((found == wanted).float().mean()) > 0.75
    if wanted.float().mean() > 0.3:
        assert dice(found.numpy(), wanted.numpy()) > 0.75


@given(seed=st.integers(0, 10**6), empty=st.booleans())
def test_the_box_of_a_coarse_mask_is_its_first_and_last_voxels(seed: int, empty: bool) -> None:
    mask = np.random.default_rng(seed).random((4, 6, 7)) < (0 if empty else 0.05)
    box = boxes_around(torch.from_numpy(mask)[None])[0]
    if mask.any():
        assert (box.numpy() == simulate.box_of(mask)).all()
    else:
        assert tuple(box.tolist()) == NO_BOX


def test_grey_values_stay_grey_values() -> None:
    rng = np.random.default_rng(0)
    image = torch.linspace(0, 1, 16).expand(8, 16, 16)
    for _ in range(20):
        changed = augment.change_grey_values(image, rng)
        assert 0 <= float(changed.min()) <= float(changed.max()) <= 1
        assert np.corrcoef(image.flatten(), changed.flatten())[0, 1] > 0.95
