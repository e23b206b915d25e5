"""Training of the region network alone."""

import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from index_folder import TINY
from safetensors import safe_open

from segvol_core.model.segvol import SegVol
from segvol_core.training import starter
from segvol_core.training.augmentation import Strength
from segvol_core.training.cases import prepare_cases, read_index
from segvol_core.training.coarse_masks import simulate_coarse_mask
from segvol_core.training.loop import LoopSettings
from segvol_core.training.prompt_simulation import box_of
from segvol_core.training.prompted_windows import (
    Kind,
    PromptedWindows,
    StructureWindows,
    draw_kind,
    draw_size,
    prompted,
)
from segvol_core.training.region_training import shares_for, train_on_windows, window_stream
from segvol_core.training.targets import WindowTargets
from segvol_core.weights import load_model

WITH_REGIONS = replace(TINY, prompt_priors=True, refinement_width=4, region_network_width=4)
ON_WINDOWS = LoopSettings(steps=3, learning_rate=2e-3, optimiser="adamw")
TURNED = Strength(flips=(0.5, 0.5, 0.5), rotation=0.25)


@pytest.mark.parametrize("region_share", [0.0, 1.0])
@pytest.mark.parametrize("longer", [1, 2])
def test_structures_lie_in_the_boxes_round_them(
    folder: Path, region_share: float, longer: int
) -> None:
    rng = np.random.default_rng(0)
    depth, height, width = WITH_REGIONS.window
    size = (longer * depth, height, width)
    seen = 0
    for case in prepare_cases(read_index(folder), WITH_REGIONS):
        source = StructureWindows(case, WITH_REGIONS.window, region_share)
        if source.is_empty:
            continue
        for _ in range(100):
            shown = source.draw(rng, TURNED, "box", size)
            box, target = shown.around, shown.target
            assert tuple(shown.image.shape) == target.shape == size
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
        kind = draw_kind(rng)
        batch = prompted([source.draw(rng, TURNED, kind) for _ in range(2)], kind, rng)
        kinds.add(batch.kind)
        assert (batch.boxes is not None) == ("box" in batch.kind)
        assert (batch.points is not None) == ("points" in batch.kind)
        assert (batch.coarse is not None) == (batch.kind == "coarse")
        if batch.points is not None:
            voxels, labels = batch.points
            for window, target in enumerate(batch.targets):
                z, y, x = voxels[window][labels[window] == 1][0].long()
                assert target[z, y, x]
    assert kinds == {"box", "points", "points+box", "coarse"}


def test_windows_are_now_and_then_as_large_as_grown_regions() -> None:
    window = (24, 40, 40)
    rng = np.random.default_rng(0)
    sizes = [draw_size(window, 8, rng) for _ in range(300)]
    assert 0.5 < sizes.count(window) / len(sizes) < 0.8
    assert {72, 120} <= {n for size in sizes for n in size}
    for size in sizes:
        assert all(n % 8 == 0 and n >= w for n, w in zip(size, window, strict=True))
        # Rounded up to a multiple of 8 on each axis.
        assert np.prod(size) <= 3.4 * np.prod(window)


def test_few_large_windows_are_seen_at_once(folder: Path) -> None:
    sources = [
        StructureWindows(case, WITH_REGIONS.window, 0.5)
        for case in prepare_cases(read_index(folder), WITH_REGIONS)
    ]
    batches = window_stream(
        sources, [TURNED] * len(sources), np.ones(len(sources)), 6, 0,
        window=WITH_REGIONS.window, multiple=4,
    )  # fmt: skip
    counts = {}
    for batch, *_ in itertools.islice(batches, 40):
        counts[batch.images[0].numel()] = len(batch.images)
        assert batch.images.shape == batch.targets.shape
    assert counts[math.prod(WITH_REGIONS.window)] == 6
    assert 1 <= counts[max(counts)] <= 3


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


def test_clicks_are_on_organs_more_often_than_boxes_are(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = next(iter(prepare_cases(read_index(folder), WITH_REGIONS)))
    source = StructureWindows(case, WITH_REGIONS.window, 0.8)
    drawn: list[str] = []
    for name in ("region_mask", "label_mask"):
        mask = getattr(WindowTargets, name)

        def noted(self: WindowTargets, value: int, name: str = name, mask: Any = mask) -> Any:
            drawn.append(name)
            return mask(self, value)

        monkeypatch.setattr(WindowTargets, name, noted)
    share = {}
    for kind in ("box", "points"):
        drawn.clear()
        rng = np.random.default_rng(0)
        for _ in range(200):
            source.draw(rng, TURNED, kind)
        share[kind] = drawn.count("region_mask") / len(drawn)
    assert share["box"] > 0.7
    assert 0.1 < share["points"] < 0.3


def test_clicks_are_seldom_on_cases_without_organs(folder: Path) -> None:
    sources = [
        StructureWindows(case, WITH_REGIONS.window, 0.5)
        for case in prepare_cases(read_index(folder), WITH_REGIONS)
    ]
    sources = [source for source in sources if not source.is_empty]
    without = [not source.has_structures for source in sources]
    assert any(without)
    assert not all(without)
    of_kind = {kind: shares_for(kind, sources, np.ones(len(sources))) for kind in get_args(Kind)}
    assert of_kind["box"][without].sum() == pytest.approx(np.mean(without))
    assert 0 < of_kind["points"][without].sum() < np.mean(without) / 2


@pytest.mark.parametrize("kind", get_args(Kind))
def test_prompts_are_learnt_to_end_where_the_organ_ends(folder: Path, kind: Kind) -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(1)
    model = SegVol(replace(WITH_REGIONS, region_network_width=8))
    case = next(iter(prepare_cases(read_index(folder), model.config)))
    source = StructureWindows(case, model.config.window, 0.0)
    batch = prompted([source.draw(rng, TURNED, kind) for _ in range(6)], kind, rng)
    before = mean_dice(model, batch)
    settings = replace(ON_WINDOWS, steps=60, learning_rate=1e-2, warmup_steps=5, average_decay=0.8)
    train_on_windows(model, itertools.repeat([batch]), settings, lambda _: None)
    after = mean_dice(model, batch)
    assert after > before + 0.05
    assert after > 0.85


def mean_dice(model: SegVol, batch: PromptedWindows) -> float:
    """Dice of the region network's masks."""
    assert model.region_network is not None
    with torch.inference_mode():
        answer = model.region_network.answer(
            batch.images, points=batch.points, boxes=batch.boxes, coarse=batch.coarse
        )
    found, target = (each.flatten(1).float() for each in (answer > 0, batch.targets))
    return float((2 * (found * target).sum(1) / (found.sum(1) + target.sum(1))).mean())


def test_a_coarse_mask_is_near_its_target_and_seldom_it() -> None:
    z, y, x = np.ogrid[:24, :40, :40]
    target = ((z - 12) / 8) ** 2 + ((y - 18) / 12) ** 2 + ((x - 22) / 12) ** 2 < 1
    rng = np.random.default_rng(0)
    overlaps = []
    for _ in range(40):
        coarse = simulate_coarse_mask(target, rng)
        assert tuple(coarse.shape) == target.shape
        found = coarse.numpy() > 0
        overlaps.append(2 * (found & target).sum() / (found.sum() + target.sum()))
    assert max(overlaps) < 0.99
    assert np.median(overlaps) > 0.7
    assert np.std(overlaps) > 0.02
