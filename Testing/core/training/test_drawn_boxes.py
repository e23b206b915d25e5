"""Training of the network for drawn boxes alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from index_folder import TINY

from segvol_core.training import starter
from segvol_core.training.augmentation import Strength
from segvol_core.training.box_windows import BoxWindowSource
from segvol_core.training.cases import prepare_cases, read_index
from segvol_core.training.loop import LoopSettings
from segvol_core.training.prompt_simulation import box_of
from segvol_core.weights import load_model

WITH_BOXES = replace(TINY, prompt_priors=True, refinement_width=4, drawn_box_width=4)
ON_BOXES = LoopSettings(steps=3, learning_rate=2e-3, optimiser="adamw")
TURNED = Strength(flips=(0.5, 0.5, 0.5))


@pytest.mark.parametrize("region_share", [0.0, 1.0])
def test_targets_lie_in_the_boxes_drawn_round_them(folder: Path, region_share: float) -> None:
    rng = np.random.default_rng(0)
    seen = 0
    for case in prepare_cases(read_index(folder), WITH_BOXES):
        source = BoxWindowSource(case, WITH_BOXES.window, region_share)
        if source.is_empty:
            continue
        for _ in range(40):
            image, box, target = source.draw(rng, TURNED)
            assert tuple(image.shape) == target.shape == WITH_BOXES.window
            found, extent = box_of(target), box[3:] - box[:3] + 1
            # 5 % and a voxel by hand, and one more for voxels of another size.
            off = 2.5 + 0.05 * extent
            last = np.array(target.shape) - 1
            assert (found[:3] >= box[:3] - off).all()
            assert (found[3:] <= box[3:] + off).all()
            whole = (box[:3] >= 0).all() and (box[3:] <= last).all()
            if whole:
                assert (np.abs(found - box) <= np.tile(off, 2)).all()
            seen += bool(whole)
    assert seen > 10


def test_boxes_are_learnt_and_the_rest_of_the_network_stays(folder: Path, tmp_path: Path) -> None:
    output, more = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    settings = LoopSettings(steps=1)
    starter.train_starter(folder, output, settings, config=WITH_BOXES)
    starter.train_starter(folder, more, None, ON_BOXES, config=WITH_BOXES, start=output)
    before, after = load_model(output).state_dict(), load_model(more).state_dict()
    changed = {key.split(".")[0] for key in before if not torch.equal(before[key], after[key])}
    assert changed == {"drawn_box_network"}


def test_the_same_seed_learns_the_same_and_goes_on_with_the_whole(
    folder: Path, tmp_path: Path
) -> None:
    states = []
    for name in ("a", "b"):
        output = tmp_path / f"{name}.safetensors"
        settings = LoopSettings(steps=2)
        starter.train_starter(folder, output, settings, ON_BOXES, config=WITH_BOXES, workers=2)
        states.append(load_model(output).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_a_network_without_such_a_part_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no part for drawn boxes"):
        starter.train_starter(folder, tmp_path / "a.safetensors", None, ON_BOXES, config=TINY)


def test_a_box_is_learnt_to_end_where_the_organ_ends(folder: Path, tmp_path: Path) -> None:
    """Better than the ellipsoid that the network begins with, on windows that it has not seen."""
    output = tmp_path / "a.safetensors"
    wider = replace(WITH_BOXES, drawn_box_width=8)
    longer = replace(ON_BOXES, steps=120, learning_rate=1e-2, warmup_steps=5)
    model = starter.train_starter(folder, output, None, longer, config=wider)
    assert model.drawn_box_network is not None
    assert model.prompt_priors is not None
    case = next(iter(prepare_cases(read_index(folder), WITH_BOXES)))
    source = BoxWindowSource(case, WITH_BOXES.window, 0.0)
    rng = np.random.default_rng(99)
    learnt, ellipsoid = [], []
    for _ in range(20):
        image, box, target = source.draw(rng, TURNED)
        with torch.inference_mode():
            drawn = model.prompt_priors.of_drawn_box(image[None], torch.from_numpy(box)[None])
            logits = model.upscale(model.drawn_box_network.answer(image[None], drawn))[0, 0]
            inside = model.upscale(drawn[:, :1])[0, 0]
        for found, dice in ((logits, learnt), (inside, ellipsoid)):
            mask = np.asarray(found > 0)
            dice.append(2 * (mask & target).sum() / (mask.sum() + target.sum()))
    assert np.mean(learnt) > np.mean(ellipsoid) + 0.05
