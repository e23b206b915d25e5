"""Names and examples that training draws."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from index_folder import TINY

from segvol_core.training import augmentation as augment
from segvol_core.training.augmentation import Strength
from segvol_core.training.cases import prepare_cases, read_index
from segvol_core.training.examples import ExampleSource
from segvol_core.training.names import draw_spelling, mirrored, spellings


def test_structures_are_named_as_inference_names_them_and_in_other_ways() -> None:
    choices = spellings("kidney_left")
    assert "left kidney" in choices
    assert len(choices) > 1
    rng = np.random.default_rng(0)
    drawn = [draw_spelling(choices, rng) for _ in range(100)]
    assert drawn.count(choices[0]) > 40
    assert len(set(drawn)) > 1
    assert spellings("something nobody knows") == ("something nobody knows",)


def test_a_flip_swaps_left_and_right_names() -> None:
    known = {"LeftParotid": 1, "RightParotid": 2, "kidney_left": 3, "Brainstem": 4}
    assert mirrored("LeftParotid", known) == "RightParotid"
    assert mirrored("RightParotid", known) == "LeftParotid"
    assert mirrored("Brainstem", known) == "Brainstem"
    assert mirrored("kidney_left", known) is None


def test_every_kind_of_prompt_is_trained_and_flipped_organs_keep_no_name(folder: Path) -> None:
    case = next(iter(prepare_cases(read_index(folder), TINY)))
    source = ExampleSource(case, TINY.window, mirror_names=False, foreign_names=("Brainstem",))
    rng = np.random.default_rng(0)
    strength = Strength(flips=(0.0, 0.0, 0.3))
    seen = set()
    foreign = named = 0
    for _ in range(150):
        example = source.draw(rng, batches=2, masks=4, strength=strength)
        assert example.overview.shape == example.window.shape == TINY.window
        named += example.structures is not None
        for prompts in example.prompts:
            seen.add(prompts.kind)
            assert prompts.overview_target.shape == prompts.window_target.shape
            assert prompts.window_target.shape[1:] == TINY.window
            assert (prompts.texts is not None) == ("text" in prompts.kind)
            assert (prompts.overview_boxes is not None) == ("box" in prompts.kind)
            assert (prompts.overview_points is not None) == ("points" in prompts.kind)
            assert (prompts.window_points is not None) == ("points" in prompts.kind)
            for text, target in zip(prompts.texts or [], prompts.overview_target, strict=False):
                if text in spellings("Brainstem"):
                    foreign += 1
                    assert not target.any()
    assert seen == {"points", "box", "text", "text+points", "text+box", "points+box"}
    assert foreign > 0
    # A flipped liver is no liver.
    assert 60 < named < 140


def test_a_window_is_also_asked_for_an_organ_that_lies_elsewhere(folder: Path) -> None:
    small = next(iter(prepare_cases(read_index(folder), TINY)))
    labels = torch.zeros(24, 64, 64, dtype=torch.uint8)
    labels[4:20, 4:20, 4:20], labels[4:20, 44:60, 44:60] = 1, 2
    case = replace(small, image=labels.half() / 2, labels=labels)
    source = ExampleSource(case, TINY.window, mirror_names=False)
    rng = np.random.default_rng(0)
    here = elsewhere = 0
    for _ in range(60):
        example = source.draw(rng, batches=2, masks=2, strength=augment.NONE)
        for prompts in example.prompts:
            out, inside = (
                target.flatten(1).any(1)
                for target in (prompts.overview_target, prompts.window_target)
            )
            here += int((out & inside).sum())
            elsewhere += int((out & ~inside).sum())
    assert here > 3 * elsewhere > 0
