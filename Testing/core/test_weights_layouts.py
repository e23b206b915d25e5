"""Every published layout of a checkpoint gives the same network."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from checkpoint_files import (
    CLIP,
    LAYOUTS,
    State,
    logits,
    save_hub_checkpoint,
)
from published_figures import DATA
from small_config import SMALL

from segvol_core.model.segvol import SegVol
from segvol_core.weights import (
    load_model,
    load_state_dict,
)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_numbers(
    layout: str, state: State, small: SegVol, tmp_path: Path
) -> None:
    path = tmp_path / layout
    LAYOUTS[layout](state, path)
    loaded = load_state_dict(path)
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())
    model = load_model(path, config=SMALL)
    assert not model.training
    assert torch.equal(logits(model), logits(small))


def test_the_full_size_network_has_the_published_tensors() -> None:
    published = json.loads((DATA / "state_dict_keys.json").read_text())
    with torch.device("meta"):
        ours = SegVol().state_dict()
    assert len(published) == 474
    assert {name: list(tensor.shape) for name, tensor in ours.items()} == published


def test_a_loaded_model_is_independent_of_its_file(
    small: SegVol, state: State, tmp_path: Path
) -> None:
    path = tmp_path / "pytorch_model.bin"
    save_hub_checkpoint(state, path)
    model = load_model(path, config=SMALL)
    path.write_bytes(bytes(path.stat().st_size))
    assert torch.equal(logits(model), logits(small))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_load_as_single(dtype: torch.dtype, state: State, tmp_path: Path) -> None:
    stored = {name: tensor.to(dtype) for name, tensor in state.items()}
    torch.save(stored, tmp_path / "other.pth")
    for name, tensor in load_state_dict(tmp_path / "other.pth").items():
        assert torch.equal(tensor, stored[name].float())


def test_position_ids_of_older_files_are_dropped(state: State, tmp_path: Path) -> None:
    position_ids = torch.arange(SMALL.text.positions).unsqueeze(0)
    older = {**state, CLIP + "embeddings.position_ids": position_ids}
    save_hub_checkpoint(older, tmp_path / "older.bin")
    assert load_state_dict(tmp_path / "older.bin").keys() == state.keys()


def test_names_of_transformers_5_load_too(state: State, tmp_path: Path) -> None:
    newer = {
        name.replace("clip_text_model.text_model.", "clip_text_model."): tensor
        for name, tensor in state.items()
    }
    assert newer.keys() != state.keys()
    newer["text_encoder.clip_text_model.embeddings.position_ids"] = torch.arange(4)
    save_hub_checkpoint(newer, tmp_path / "newer.bin")
    loaded = load_state_dict(tmp_path / "newer.bin")
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())


def test_the_name_of_a_file_does_not_matter(state: State, tmp_path: Path) -> None:
    save_hub_checkpoint(state, tmp_path / "wrongly_named.safetensors")
    safetensors.torch.save_file(state, tmp_path / "wrongly_named.bin")
    for name in ("wrongly_named.safetensors", "wrongly_named.bin"):
        assert load_state_dict(tmp_path / name).keys() == state.keys()


def test_loading_weights_does_not_import_the_hub_client() -> None:
    program = "import sys, segvol_core.weights; sys.exit('huggingface_hub' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)  # noqa: S603


def test_loading_weights_does_not_load_a_compiler():
    code = (
        "import sys; from segvol_core.weights import _empty_model; "
        "from segvol_core.model.config import PUBLISHED; "
        "_empty_model(PUBLISHED, 'x'); sys.exit('torch._dynamo' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], check=False)  # noqa: S603
    assert ended.returncode == 0
