"""The published pre-trained encoder fills the image encoder, and is not taken for a network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from checkpoint_files import (
    State,
    save_encoder,
    save_hub_checkpoint,
)
from small_config import SMALL

from segvol_core.errors import WeightsError
from segvol_core.model.segvol import SegVol
from segvol_core.pretrained_encoder import load_pretrained_encoder
from segvol_core.weights import (
    load_model,
)


def test_a_pretrained_encoder_fills_the_image_encoder_alone(state: State, tmp_path: Path) -> None:
    path = tmp_path / "vit_pretrain.ckpt"
    save_encoder(state, path)
    model = SegVol(SMALL)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    load_pretrained_encoder(model, path)
    for name, tensor in model.state_dict().items():
        expected = state if name.startswith("image_encoder.") else before
        assert torch.equal(tensor, expected[name])


def test_a_pretrained_encoder_is_not_taken_for_a_model(state: State, tmp_path: Path) -> None:
    save_encoder(state, tmp_path / "vit_pretrain.ckpt")
    with pytest.raises(WeightsError, match="image encoder alone"):
        load_model(tmp_path / "vit_pretrain.ckpt", config=SMALL)
    save_hub_checkpoint(state, tmp_path / "pytorch_model.bin")
    with pytest.raises(WeightsError, match="no pre-trained image encoder"):
        load_pretrained_encoder(SegVol(SMALL), tmp_path / "pytorch_model.bin")


def test_a_pretrained_encoder_of_another_size_changes_nothing(state: State, tmp_path: Path) -> None:
    save_encoder(state, tmp_path / "vit_pretrain.ckpt")
    model = SegVol(replace(SMALL, depth=3))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(WeightsError, match=r"missing: blocks\.2\."):
        load_pretrained_encoder(model, tmp_path / "vit_pretrain.ckpt")
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
