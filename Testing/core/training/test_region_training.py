"""Training of the region network alone."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from index_folder import TINY
from safetensors import safe_open

from segvol_core.model.segvol import SegVol
from segvol_core.training import starter
from segvol_core.training.augmentation import Strength
from segvol_core.training.cases import prepare_cases, read_index
from segvol_core.training.loop import LoopSettings
from segvol_core.training.prompt_simulation import box_of
from segvol_core.training.prompted_windows import PromptedWindows, StructureWindows, prompted
from segvol_core.training.region_training import train_on_windows
from segvol_core.weights import load_model

WITH_REGIONS = replace(TINY, prompt_priors=True, refinement_width=4, region_network_width=4)
ON_WINDOWS = LoopSettings(steps=3, learning_rate=2e-3, optimiser="adamw")
TURNED = Strength(flips=(0.5, 0.5, 0.5))


@pytest.mark.parametrize("region_share", [0.0, 1.0])
def test_structures_lie_in_the_boxes_round_them(folder: Path, region_share: float) -> None:
    rng = np.random.default_rng(0)
    seen = 0
    for case in prepare_cases(read_index(folder), WITH_REGIONS):
        source = StructureWindows(case, WITH_REGIONS.window, region_share)
        if source.is_empty:
            continue
        for _ in range(40):
            shown = source.draw(rng, TURNED)
            box, target = shown.around, shown.target
            assert tuple(shown.image.shape) == target.shape == WITH_REGIONS.window
            found = box_of(target)
            # A voxel for the middle of voxels of another size, and one for smoothing.
            off = 2.0
            last = np.array(target.shape) - 1
            assert (found[:3] >= box[:3] - off).all()
            assert (found[3:] <= box[3:] + off).all()
            whole = (box[:3] >= 0).all() and (box[3:] <= last).all()
            if whole:
                assert (np.abs(found - box) <= off).all()
            seen += bool(whole)
    assert seen > 10


def test_every_kind_of_prompt_is_asked(folder: Path) -> None:
    rng = np.random.default_rng(0)
    case = next(iter(prepare_cases(read_index(folder), WITH_REGIONS)))
    source = StructureWindows(case, WITH_REGIONS.window, 0.2)
    kinds = set()
    for _ in range(30):
        batch = prompted([source.draw(rng, TURNED) for _ in range(2)], rng)
        kinds.add(batch.kind)
        assert (batch.boxes is not None) == ("box" in batch.kind)
        assert (batch.points is not None) == ("points" in batch.kind)
        if batch.points is not None:
            voxels, labels = batch.points
            for window, target in enumerate(batch.targets):
                z, y, x = voxels[window][labels[window] == 1][0].long()
                assert target[z, y, x]
    assert kinds == {"box", "points", "points+box"}


def test_windows_are_learnt_and_the_rest_of_the_network_stays(folder: Path, tmp_path: Path) -> None:
    output, more = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    settings = LoopSettings(steps=1)
    starter.train_starter(folder, output, settings, config=WITH_REGIONS)
    starter.train_starter(folder, more, None, ON_WINDOWS, config=WITH_REGIONS, start=output)
    before, after = load_model(output).state_dict(), load_model(more).state_dict()
    changed = {key.split(".")[0] for key in before if not torch.equal(before[key], after[key])}
    assert changed == {"region_network"}


def test_the_same_seed_learns_the_same_after_the_whole(folder: Path, tmp_path: Path) -> None:
    states = []
    for name in ("a", "b"):
        output = tmp_path / f"{name}.safetensors"
        settings = LoopSettings(steps=2)
        starter.train_starter(folder, output, settings, ON_WINDOWS, config=WITH_REGIONS, workers=2)
        states.append(load_model(output).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    with safe_open(output, "pt") as file:
        metadata = file.metadata()
    assert metadata["steps"] == "2"
    assert metadata["region_network_steps"] == "3"


def test_a_network_without_such_a_part_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no region network"):
        starter.train_starter(folder, tmp_path / "a.safetensors", None, ON_WINDOWS, config=TINY)


@pytest.mark.parametrize("kind", ["box", "points", "points+box"])
def test_prompts_are_learnt_to_end_where_the_organ_ends(folder: Path, kind: str) -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(1)
    model = SegVol(replace(WITH_REGIONS, region_network_width=8))
    case = next(iter(prepare_cases(read_index(folder), model.config)))
    source = StructureWindows(case, model.config.window, 0.0)
    batch = prompted([source.draw(rng, TURNED) for _ in range(6)], rng)
    while batch.kind != kind:
        batch = prompted([source.draw(rng, TURNED) for _ in range(6)], rng)
    before = mean_dice(model, batch)
    settings = replace(ON_WINDOWS, steps=40, learning_rate=1e-2, warmup_steps=5, average_decay=0.8)
    train_on_windows(model, itertools.repeat([batch]), settings, lambda _: None)
    after = mean_dice(model, batch)
    assert after > before + 0.05
    assert after > 0.85


def mean_dice(model: SegVol, batch: PromptedWindows) -> float:
    """Dice of the region network's masks."""
    assert model.region_network is not None
    with torch.inference_mode():
        answer = model.region_network.answer(batch.images, points=batch.points, boxes=batch.boxes)
    found, target = (each.flatten(1).float() for each in (answer > 0, batch.targets))
    return float((2 * (found * target).sum(1) / (found.sum(1) + target.sum(1))).mean())
