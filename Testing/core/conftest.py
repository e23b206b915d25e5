"""Things that several test files of the core use."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_config import SMALL
from torch import Tensor

from segvol_core.model.segvol import SegVol


@pytest.fixture(scope="session")
def small() -> SegVol:
    torch.manual_seed(0)
    return SegVol(SMALL).eval()


@pytest.fixture(scope="session")
def state(small: SegVol) -> dict[str, Tensor]:
    """Copies of all tensors of the small network."""
    return {name: tensor.clone() for name, tensor in small.state_dict().items()}


@pytest.fixture
def ct_voxels() -> np.ndarray:
    """Voxels (k, j, i) over the range of a CT, all rows and slices different."""
    return np.random.default_rng(0).integers(-1000, 1500, (6, 8, 10)).astype(np.int16)
