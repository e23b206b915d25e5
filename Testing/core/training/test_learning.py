"""From examples to weights that follow prompts."""

import itertools
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from index_folder import ORGANS, TINY, two_organs

from segvol_core.errors import VolumeError
from segvol_core.model.config import SegVolConfig
from segvol_core.model.segvol import SegVol
from segvol_core.organs import find
from segvol_core.session import Session
from segvol_core.training import augmentation as augment
from segvol_core.training.cases import prepare_cases, read_index
from segvol_core.training.example_losses import prompt_losses
from segvol_core.training.examples import Example, ExampleSource
from segvol_core.training.initialisation import initialise_from_data
from segvol_core.training.loop import LoopSettings, train
from segvol_core.training.validation import validation_dice
from segvol_core.volume import Volume


def test_an_untrained_network_already_shows_voxels_and_places_to_its_decoder(folder: Path) -> None:
    case = next(iter(prepare_cases(read_index(folder), TINY)))
    model = SegVol(TINY)
    initialise_from_data(model, [case.image], np.random.default_rng(0))
    image = torch.rand(TINY.window)
    double, normalise, gelu, again, _ = model.mask_decoder.output_upscaling
    with torch.inference_mode():
        tokens = model.image_encoder(image[None, None])
        normalised = normalise(double(tokens).movedim(1, 4)).movedim(4, 1)
        features = again(gelu(normalised))[0]
    grey = features[5].flatten()
    assert np.corrcoef(grey, image.flatten())[0, 1] > 0.9
    for axis in range(3):
        place = torch.nn.functional.gelu(features[12 + axis]).movedim(axis, 0).flatten(1)
        assert float(place.std(dim=1).max()) < 1e-4
        assert torch.allclose(place[:, 0].diff(), place[:, 0].diff().mean(), atol=0.05)


@dataclass(frozen=True)
class Lesson:
    """One example, learnt by heart."""

    example: Example
    losses: list[float]
    model: SegVol


def teaches_both_names_and_boxes(example: Example) -> bool:
    """Whether both organs are asked for by name where they are, and something by a box."""
    named = {
        find(text).name
        for prompts in example.prompts
        for text, target in zip(prompts.texts or (), prompts.window_target, strict=False)
        if prompts.kind == "text" and target.any()
    }
    return named == set(ORGANS) and "box" in {prompts.kind for prompts in example.prompts}


@pytest.fixture(scope="module")
def lesson(folder: Path) -> Lesson:
    case = next(iter(prepare_cases(read_index(folder), TINY)))
    source = ExampleSource(case, TINY.window, mirror_names=False)
    rng = np.random.default_rng(1)
    example = source.draw(rng, batches=3, masks=2, strength=augment.NONE)
    while not teaches_both_names_and_boxes(example):
        example = source.draw(rng, batches=3, masks=2, strength=augment.NONE)
    torch.manual_seed(0)
    model = SegVol(replace(TINY, trained_names=tuple(ORGANS)))
    initialise_from_data(model, [case.image], rng)
    losses: list[float] = []
    trained = train(
        model,
        itertools.repeat([example]),
        LoopSettings(
            steps=90,
            learning_rate=2e-3,
            warmup_steps=10,
            average_decay=0.9,
            precision="float32",  # Twice as fast as bfloat16 for products as small as these.
        ),
        lambda progress, _: losses.append(float(np.mean(list(progress.losses.values())))),
    )
    return Lesson(example, losses, trained)


def test_a_tiny_network_learns_a_made_case(lesson: Lesson) -> None:
    assert len(lesson.losses) == 90
    assert lesson.losses[-1] < 0.3 * lesson.losses[0]
    images = torch.stack([lesson.example.overview, lesson.example.window])[:, None]
    with torch.inference_mode():
        for prompts in lesson.example.prompts:
            embeddings = lesson.model.image_encoder(images)
            for losses in prompt_losses(lesson.model, embeddings, lesson.example, prompts):
                assert float(losses.mean()) < 0.5


def test_a_mask_is_named_by_the_name_that_finds_it(lesson: Lesson) -> None:
    voxels, labels = two_organs()
    session = Session(lesson.model, Volume(voxels.astype(np.float32), np.diag([5.0, 5, 5, 1])))
    for name, value in ORGANS.items():
        namings = session.identify(labels == value)
        assert {naming.organ.name for naming in namings} == set(ORGANS)
        assert sum(naming.probability for naming in namings) == pytest.approx(1)
        assert namings[0].organ.name == name
        assert namings[0].probability > 0.5
    with pytest.raises(VolumeError, match="empty segment"):
        session.identify(np.zeros(labels.shape, dtype=bool))
    with pytest.raises(VolumeError, match="does not fit"):
        session.identify(np.ones((2, 3, 4), dtype=bool))


QUICK = replace(
    TINY, prompt_priors=True, refinement_width=4, region_network_width=4, name_network_width=4
)


@pytest.mark.parametrize("config", [TINY, QUICK])
def test_validation_reports_every_structure_for_every_kind_of_prompt(
    folder: Path, config: SegVolConfig
) -> None:
    cases = list(prepare_cases(read_index(folder), config))
    found = validation_dice(SegVol(config), cases)
    assert set(found) == {"text", "click", "box"}
    for figures in found.values():
        assert set(figures) == set(ORGANS)
        assert all(0 <= value <= 1 for value in figures.values())


def test_validation_sees_what_the_network_that_answers_boxes_has_learnt(folder: Path) -> None:
    torch.manual_seed(0)
    cases = list(prepare_cases(read_index(folder), QUICK))
    model = SegVol(QUICK)
    before = np.mean(list(validation_dice(model, cases)["box"].values()))
    assert model.region_network is not None
    with torch.no_grad():
        model.region_network.to_logits.bias.fill_(-100)
    nothing = np.mean(list(validation_dice(model, cases)["box"].values()))
    assert before > 0.4
    assert nothing < before
