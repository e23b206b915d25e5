"""Training of the name network alone."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from index_folder import TINY

from segvol_core.model.segvol import SegVol
from segvol_core.training import named_windows, starter
from segvol_core.training.augmentation import NONE, Strength
from segvol_core.training.cases import TrainingCase, prepare_cases, read_index
from segvol_core.training.contrast_medium import ContrastMedium
from segvol_core.training.examples import ExampleSource
from segvol_core.training.loop import LoopSettings
from segvol_core.training.name_training import NameSource, name_stream, train_on_names
from segvol_core.training.named_windows import WINDOW, NamedWindow, NamedWindows
from segvol_core.training.starter_network import HOUNSFIELD_LEVELS
from segvol_core.weights import load_model

WITH_NAMES = replace(TINY, prompt_priors=True, name_network_width=4)
ON_NAMES = LoopSettings(steps=3, learning_rate=1e-3, optimiser="adamw")
WHOLE = replace(NONE, smallest_part=1.0)
CHANGED = Strength(flips=(0, 0, 0.5))


@pytest.fixture
def case(folder: Path) -> TrainingCase:
    return next(iter(prepare_cases(read_index(folder), WITH_NAMES)))


def windows(
    case: TrainingCase, *, mirror: bool = False, foreign: tuple[str, ...] = ()
) -> NamedWindows:
    return NamedWindows(case, mirror_names=mirror, foreign_names=foreign)


def mask_of(window: NamedWindow, name: str) -> np.ndarray:
    return window.masks[window.names.index(name)].numpy()


def test_a_window_shows_an_organ_where_its_mask_is(case: TrainingCase) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        shown = windows(case).draw(rng, CHANGED)
        assert shown.grey.shape == WINDOW
        assert shown.places.shape == (2, *WINDOW)
        assert shown.masks.shape == (len(shown.names), *WINDOW)
        if "liver" in shown.names and mask_of(shown, "liver").any():
            liver = mask_of(shown, "liver")
            body = shown.grey.numpy() > 0.05
            assert shown.grey.numpy()[liver].mean() > shown.grey.numpy()[body & ~liver].mean()


def test_examples_of_a_whole_training_have_windows_for_it_too(case: TrainingCase) -> None:
    for wanted in (0, 3):
        source = ExampleSource(case, WITH_NAMES.window, mirror_names=False, named_windows=wanted)
        example = source.draw(np.random.default_rng(0), batches=1, masks=2, strength=CHANGED)
        assert len(example.named) == wanted
        assert all(window.names for window in example.named)


def test_organs_are_shown_with_contrast_medium(case: TrainingCase) -> None:
    medium = ContrastMedium(1.0, HOUNSFIELD_LEVELS)
    brightness = {}
    for name, contrast_medium in (("plain", None), ("injected", medium)):
        strength = replace(WHOLE, contrast_medium=contrast_medium)
        rng = np.random.default_rng(0)
        shown = [windows(case).draw(rng, strength) for _ in range(20)]
        brightness[name] = max(
            float(window.grey.numpy()[mask_of(window, "liver")].mean())
            for window in shown
            if "liver" in window.names and mask_of(window, "liver").any()
        )
    assert brightness["injected"] > brightness["plain"] + 0.03


def test_places_run_from_one_side_of_the_scan_to_the_other(case: TrainingCase) -> None:
    shown = windows(case).draw(np.random.default_rng(0), WHOLE)
    inside = shown.grey > 0
    y, x = (shown.places[axis] for axis in (0, 1))
    assert float(y[inside].min()) == pytest.approx(-1, abs=0.2)
    assert float(x[inside].max()) == pytest.approx(1, abs=0.2)
    columns = x[WINDOW[0] // 2, WINDOW[1] // 2]
    there = columns != 0
    assert (columns[there].diff() > 0).all()


def test_of_a_mirror_image_the_places_are_those_of_what_it_shows(case: TrainingCase) -> None:
    turned = replace(WHOLE, flips=(0, 0, 1.0))
    plain = windows(case).draw(np.random.default_rng(0), turned)
    mirror = windows(case, mirror=True).draw(np.random.default_rng(0), turned)
    torch.testing.assert_close(mirror.places, plain.places)
    spleen, mirrored_spleen = mask_of(plain, "spleen"), mask_of(mirror, "spleen")
    np.testing.assert_array_equal(mirrored_spleen, spleen[..., ::-1])


def test_names_of_other_parts_of_the_body_are_asked_for_and_nowhere(case: TrainingCase) -> None:
    rng = np.random.default_rng(0)
    shown = windows(case, foreign=("Brainstem",)).draw(rng, CHANGED)
    assert "brainstem" in [name.lower() for name in shown.names]
    assert not shown.masks[-1].any()


def test_names_are_learnt(case: TrainingCase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named_windows, "WINDOW", (8, 16, 16))
    torch.manual_seed(0)
    model = SegVol(replace(WITH_NAMES, name_network_width=8))
    shown = [windows(case).draw(np.random.default_rng(seed), WHOLE) for seed in (0, 1)]
    settings = replace(ON_NAMES, steps=150, learning_rate=1e-2, warmup_steps=5, average_decay=0.8)
    train_on_names(model, itertools.repeat([shown]), settings, lambda _: None)
    assert model.name_network is not None
    with torch.inference_mode():
        seen = model.name_network.features(shown[0].grey[None], shown[0].places[None])[0]
        found = model.name_network.compare(seen, model.text_encoder(shown[0].names)) > 0
    for mask, wanted in zip(found, shown[0].masks, strict=True):
        assert 2 * (mask & wanted).sum() > 0.8 * (mask.sum() + wanted.sum())


def test_a_stream_repeats_itself_and_passes_over_what_has_no_names(case: TrainingCase) -> None:
    nameless = replace(case, labels=None, label_values={})
    sources = [NameSource(windows(each), CHANGED, 0.5) for each in (case, nameless)]
    first, again = (next(name_stream(sources, 3, seed=4))[0] for _ in range(2))
    assert [window.names for window in first] == [window.names for window in again]
    assert all(torch.equal(a.grey, b.grey) for a, b in zip(first, again, strict=True))
    assert all(window.names for window in first)


def test_names_are_learnt_and_the_rest_of_the_network_stays(folder: Path, tmp_path: Path) -> None:
    output, more = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    starter.train_starter(folder, output, LoopSettings(steps=1), config=WITH_NAMES)
    starter.train_starter(folder, more, None, None, ON_NAMES, config=WITH_NAMES, start=output)
    before, after = load_model(output).state_dict(), load_model(more).state_dict()
    changed = {key.split(".")[0] for key in before if not torch.equal(before[key], after[key])}
    assert changed == {"name_network"}


def test_a_network_without_such_a_part_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no name network"):
        starter.train_starter(folder, tmp_path / "a.safetensors", None, None, ON_NAMES, config=TINY)


def test_a_training_of_the_whole_teaches_names_too(folder: Path, tmp_path: Path) -> None:
    output, more = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    starter.train_starter(folder, output, LoopSettings(steps=1), config=WITH_NAMES)
    starter.train_starter(folder, more, LoopSettings(steps=1), config=WITH_NAMES, start=output)
    before, after = load_model(output).state_dict(), load_model(more).state_dict()
    changed = {key.split(".")[0] for key in before if not torch.equal(before[key], after[key])}
    assert {"name_network", "mask_decoder"} <= changed
