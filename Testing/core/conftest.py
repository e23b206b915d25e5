"""Things that several test files of the core use."""

from __future__ import annotations

import pytest
import torch

from segvol_core.model.config import SegVolConfig, TextConfig
from segvol_core.model.segvol import SegVol

SMALL = SegVolConfig(
    window=(8, 32, 32),
    patch=(4, 8, 8),
    width=48,
    depth=2,
    heads=4,
    mlp_width=96,
    decoder_heads=4,
    decoder_mlp_width=64,
    text=TextConfig(width=32, depth=2, heads=2, mlp_width=64, positions=32, vocabulary=1024),
)
"""A network small enough to be made and run in milliseconds."""


@pytest.fixture(scope="session")
def small() -> SegVol:
    torch.manual_seed(0)
    return SegVol(SMALL).eval()
