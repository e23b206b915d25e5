"""A network that was saved loads as it was, and a save that fails loses nothing."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from checkpoint_files import (
    State,
    logits,
)
from small_config import SMALL

from segvol_core.errors import WeightsError
from segvol_core.model.segvol import SegVol
from segvol_core.weights import (
    load_metadata,
    load_model,
    save_model,
)


def test_a_saved_model_needs_nothing_but_its_file(small: SegVol, tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    save_model(small, path, {"data": "three made-up volumes"})
    model = load_model(path)
    assert model.config == SMALL
    assert torch.equal(logits(model), logits(small))
    assert load_metadata(path)["data"] == "three made-up volumes"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="files of Windows have no such rights")
def test_whoever_may_read_other_new_files_may_read_weights(small: SegVol, tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    save_model(small, tmp_path / "mine.safetensors")
    assert (tmp_path / "mine.safetensors").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_loaded_model_can_be_trained(small: SegVol, tmp_path: Path) -> None:
    save_model(small, tmp_path / "mine.safetensors")
    model = load_model(tmp_path / "mine.safetensors")
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_half_precision_halves_the_file_and_loads_as_single(small: SegVol, tmp_path: Path) -> None:
    whole, half = tmp_path / "whole.safetensors", tmp_path / "half.safetensors"
    save_model(small, whole)
    save_model(small, half, half=True)
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    model = load_model(half)
    for name, tensor in small.state_dict().items():
        loaded = model.state_dict()[name]
        assert loaded.dtype == torch.float32
        assert torch.equal(loaded, tensor.half().float())


@pytest.mark.parametrize(
    "config",
    [
        "not JSON",
        "[1]",
        '{"width": "48"}',
        '{"width": 48, "heads": 0}',
        '{"width": -48}',
        '{"depth": null}',
        '{"colour": "red"}',
        '{"window": 8}',
        '{"text": {"heads": 0}}',
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(
    config: str, state: State, tmp_path: Path
) -> None:
    path = tmp_path / "mine.safetensors"
    safetensors.torch.save_file(state, path, {"config": config})
    with pytest.raises(WeightsError, match="configuration that makes no sense"):
        load_model(path)


def test_a_given_configuration_overrules_the_stored_one(small: SegVol, tmp_path: Path) -> None:
    save_model(small, tmp_path / "mine.safetensors")
    with pytest.raises(WeightsError, match=r"image_encoder\.blocks\.2"):
        load_model(tmp_path / "mine.safetensors", config=replace(SMALL, depth=3))


def test_a_network_that_cannot_be_saved_leaves_the_older_file(
    small: SegVol, tmp_path: Path
) -> None:
    path = tmp_path / "mine.safetensors"
    save_model(small, path)
    before = path.read_bytes()
    broken = SegVol(SMALL)
    with torch.no_grad():
        broken.text_encoder.dim_align.bias[0] = 1e6
    with pytest.raises(WeightsError, match=r"was not written.*text_encoder\.dim_align\.bias"):
        save_model(broken, path, half=True)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_named_and_left_clean(
    small: SegVol, tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match="cannot be written"):
        save_model(small, tmp_path / "absent" / "mine.safetensors")
    (tmp_path / "folder").mkdir()
    with pytest.raises(WeightsError, match="cannot be written"):
        save_model(small, tmp_path / "folder")
    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]
