"""The benchmark compares like with like, on a small network and a real CT."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from published_figures import DATA
from rich.console import Console
from small_config import SMALL
from torch import nn

from segvol_core.benchmark.comparison import Comparison, compare
from segvol_core.benchmark.procedures import Task
from segvol_core.benchmark.published_kernels import use_published_kernels
from segvol_core.benchmark.report import agreement_sentence, as_json, as_table
from segvol_core.errors import SegVolError
from segvol_core.model.linear import TokenLinear
from segvol_core.model.segvol import SegVol

NAMES = ("liver", "spleen", "left kidney")


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    seen: list[str] = []
    task = Task(DATA / "ct_crop.nii.gz", None, NAMES, threads=1, config=SMALL)
    result = compare(task, lambda procedure, *_: seen.append(procedure), run_all_published=True)
    assert list(dict.fromkeys(seen)) == ["published", "same windows", "lattice"]
    return result


def test_the_same_windows_give_the_published_mask(comparison: Comparison) -> None:
    agreement = comparison.agreement
    assert agreement.voxels > 10_000
    assert agreement.largest_difference < 1e-4 * agreement.largest_logit
    assert agreement.different == 0 or agreement.largest_unsure < 1e-4 * agreement.largest_logit
    assert comparison.published.windows == comparison.same_windows.windows > 0


def test_every_figure_of_the_table_was_measured(comparison: Comparison) -> None:
    for timing in (comparison.published, comparison.same_windows, comparison.lattice):
        assert timing.first > timing.preparing > 0
    for timing in (comparison.published, comparison.lattice):
        assert timing.second
        assert timing.all_names
    assert not comparison.computed
    console = Console(width=120, record=True)
    console.print(as_table(comparison, len(NAMES)))
    text = console.export_text()
    for row in ("first prompt", "next prompt", "3 organ names", "peak memory"):
        assert row in text
    assert "voxels differ from the published mask" in agreement_sentence(comparison)
    assert json.loads(json.dumps(as_json(comparison)))["lattice"]["windows"] > 0


def test_the_published_kernels_give_the_same_logits(small: SegVol) -> None:
    model = SegVol(SMALL).eval()
    model.load_state_dict(small.state_dict())
    image = torch.rand(1, 1, *SMALL.window)
    box = torch.tensor([[1.0, 2, 3, 6, 20, 30]])
    with torch.inference_mode():
        ours = small(image, boxes=box, text=["liver"])
        with use_published_kernels(model):
            theirs = model(image, boxes=box, text=["liver"])
    assert not any(isinstance(module, TokenLinear) for module in model.modules())
    assert type(model.image_encoder.blocks[0].mlp.linear1) is nn.Linear
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_a_ct_that_is_not_there_is_said_in_a_sentence(tmp_path: Path) -> None:
    task = Task(tmp_path / "no.nii.gz", None, NAMES, threads=1, config=SMALL)
    with pytest.raises(SegVolError, match=r"no\.nii\.gz"):
        compare(task, lambda *_: None)
