"""Coarse masks as a name network finds them: on its larger cells, and wrong here and there."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from segvol_core.model.name_network import CELL

_STEEPNESS = 6.0
_OFFSET, _UNEVENNESS, _LARGEST = 1.5, 2.5, 8.0
_HUMPS = 6
"""Cells between independent errors."""


def simulate_coarse_mask(target: npt.NDArray[np.bool_], rng: np.random.Generator) -> Tensor:
    """Logits (D, H, W) of a coarse mask of a target (D, H, W).

    The target on cells, moved by up to one of them; too large or too small as a whole, and more so
    in some places than in others.
    """
    shares = F.avg_pool3d(torch.from_numpy(target).float()[None, None], CELL)
    shift = tuple(int(step) for step in rng.integers(-1, 2, 3))
    logits = _STEEPNESS * (2 * torch.roll(shares, shift, dims=(2, 3, 4)) - 1)
    humps = rng.standard_normal([max(1, n // _HUMPS) + 1 for n in shares.shape[2:]])
    uneven = F.interpolate(
        torch.from_numpy(humps).float()[None, None],
        size=shares.shape[2:],
        mode="trilinear",
        align_corners=True,
    )
    logits = logits + rng.normal(0, _OFFSET) + _UNEVENNESS * rng.random() * uneven
    finer = F.interpolate(logits, size=target.shape, mode="trilinear", align_corners=False)
    return finer[0, 0].clamp(-_LARGEST, _LARGEST)
