"""Checkpoints of the small network, in every layout that was published."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import safetensors.torch
import torch
from small_config import SMALL
from torch import Tensor

from segvol_core.model.segvol import SegVol

State = dict[str, Tensor]
Saver = Callable[[State, Path], None]

CLIP = "text_encoder.clip_text_model.text_model."
FIRST_BIAS = "image_encoder.patch_embedding.patch_embeddings.1.bias"


def prefixed(prefix: str, state: State) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def save_training_checkpoint(state: State, path: Path) -> None:
    """As ``SegVol_v1.pth``: what ``DistributedDataParallel`` and AdamW leave."""
    moments = {
        index: {"step": torch.tensor(7.0), "exp_avg": torch.zeros_like(tensor)}
        for index, tensor in enumerate(state.values())
    }
    groups = [{"lr": 1e-4, "betas": (0.9, 0.999), "params": list(moments)}]
    optimizer = {"state": moments, "param_groups": groups}
    torch.save({"model": prefixed("module.", state), "epoch": 500, "optimizer": optimizer}, path)


def save_hub_checkpoint(state: State, path: Path) -> None:
    """As ``pytorch_model.bin``."""
    torch.save(prefixed("model.", state), path)


def save_legacy(state: State, path: Path) -> None:
    """In the format before PyTorch 1.6, which is not a zip archive."""
    torch.save(prefixed("model.", state), path, _use_new_zipfile_serialization=False)


def save_encoder(state: State, path: Path) -> None:
    """As ``vit_pretrain.ckpt``, with the reconstruction head that its size tells of."""
    encoder = {
        name.removeprefix("image_encoder."): tensor
        for name, tensor in state.items()
        if name.startswith("image_encoder.")
    }
    head = {"model.decoder.weight": torch.zeros(3, 3)}
    torch.save({"state_dict": {**prefixed("model.encoder.", encoder), **head}, "epoch": 3}, path)


LAYOUTS: dict[str, Saver] = {
    "SegVol_v1.pth": save_training_checkpoint,
    "pytorch_model.bin": save_hub_checkpoint,
    "legacy.pth": save_legacy,
    "plain.pth": torch.save,
    "model.safetensors": lambda state, path: safetensors.torch.save_file(
        prefixed("model.", state), path
    ),
    "module.safetensors": lambda state, path: safetensors.torch.save_file(
        prefixed("module.", state), path
    ),
    "plain.safetensors": safetensors.torch.save_file,
}


def logits(model: SegVol) -> Tensor:
    window = torch.rand(1, 1, *SMALL.window, generator=torch.Generator().manual_seed(3))
    points = (torch.tensor([[[2.0, 10, 12], [5, 20, 3]]]), torch.tensor([[1.0, 0]]))
    box = torch.tensor([[1.0, 4, 4, 6, 25, 28]])
    with torch.inference_mode():
        result: Tensor = model(window, points=points, boxes=box, text=["liver"])
    return result
