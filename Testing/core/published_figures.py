"""The weights that the published code's figures in ``Testing/data`` were computed with.

Anyone can rebuild them: each tensor is drawn from a generator seeded by its own name.
"""

from __future__ import annotations

import math
import zlib
from pathlib import Path

import numpy as np
import torch

from segvol_core.model.config import SegVolConfig
from segvol_core.model.segvol import SegVol

DATA = Path(__file__).parents[1] / "data"

_NORMS = ("norm", "output_upscaling.1", "mask_downscaling.1", "mask_downscaling.4")


def drawn_tensor(key: str, shape: tuple[int, ...]) -> np.ndarray:
    a = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape, dtype=np.float32)
    if key.endswith("positional_encoding_gaussian_matrix"):
        return a
    if key.endswith("weight") and any(part in key for part in _NORMS):
        return 1 + np.float32(0.1) * a
    if key.endswith("bias"):
        return np.float32(0.02) * a
    if len(shape) >= 2:
        is_embedding = "embed" in key and not any(
            part in key for part in ("patch_embeddings", "upscal", "align")
        )
        if is_embedding and shape[0] < 60000:
            return np.float32(0.5 if shape[0] <= 8 else 0.02) * a
        fan_in = shape[0] if "output_upscaling" in key else math.prod(shape[1:])
        return a / np.float32(math.sqrt(fan_in))
    return np.float32(0.02) * a


def drawn_model(config: SegVolConfig) -> SegVol:
    with torch.device("meta"):
        model = SegVol(config)
    state = {
        key: torch.from_numpy(drawn_tensor(key, tuple(tensor.shape)))
        for key, tensor in model.state_dict().items()
    }
    state["mask_decoder.output_hypernetworks_mlps.0.layers.2.bias"].fill_(-0.2)
    state["mask_decoder.txt_align_upscaled_embedding.bias"].fill_(-0.2)
    model.load_state_dict(state, assign=True)
    return model.eval()
