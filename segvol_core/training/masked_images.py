"""Masked image modelling: an image encoder learns by filling in patches that it is not shown.

SimMIM (Xie et al., CVPR 2022) as the published encoder was pre-trained: patches of (4, 16, 16)
voxels, 60 % of them replaced by one learnt token, a linear map from the tokens of the encoder to
grey values, and the mean absolute error of the voxels that were hidden. The authors name ratio,
sizes and the code that they followed, chenz53/MIM-Med3D, in issue 19 of BAAI-DCAI/SegVol. There the
linear map reads the tokens before the encoder's last normalisation, which then learns nothing; here
it reads them after it, as in SimMIM itself.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from segvol_core.model.config import SegVolConfig, Size3
from segvol_core.model.image_encoder import ImageEncoder
from segvol_core.model.linear import TokenLinear

PUBLISHED_SHARE = 0.6
"""Of the patches that are hidden (BAAI-DCAI/SegVol, issue 19; the same in SimMIM)."""
_FIRST_SIZE = 0.02
"""Deviation of first weights (SimMIM)."""


class Reconstruction(nn.Module):
    """What is trained with the encoder and thrown away: a token for "hidden", tokens to voxels."""

    def __init__(self, config: SegVolConfig) -> None:
        super().__init__()
        self.mask_token = nn.Parameter(torch.empty(config.width))
        self.to_voxels = TokenLinear(config.width, math.prod(config.patch))
        nn.init.trunc_normal_(self.mask_token, std=_FIRST_SIZE)
        nn.init.trunc_normal_(self.to_voxels.weight, std=_FIRST_SIZE)
        nn.init.zeros_(self.to_voxels.bias)

    def forward(self, encoder: ImageEncoder, windows: Tensor, hidden: Tensor) -> Tensor:
        """Grey values that an encoder expects in windows of which it sees a part.

        Parameters
        ----------
        windows
            (batch, 1, D, H, W), grey values in [0, 1].
        hidden
            (batch, tokens) bool, patches that it does not see.

        Returns
        -------
        Tensor
            (batch, tokens, voxels of a patch), ordered as in :func:`patches_of`.
        """
        embedding = encoder.patch_embedding
        in_their_place = self.mask_token + embedding.position_embeddings
        tokens = torch.where(hidden[..., None], in_their_place, embedding(windows))
        for block in encoder.blocks:
            tokens = block(tokens)
        voxels: Tensor = self.to_voxels(encoder.norm(tokens))
        return voxels


def masked_loss(expected: Tensor, windows: Tensor, hidden: Tensor, patch: Size3) -> Tensor:
    """Mean absolute error of the hidden voxels of windows (batch, 1, D, H, W)."""
    return (expected.float() - patches_of(windows, patch))[hidden].abs().mean()


def patches_of(windows: Tensor, patch: Size3) -> Tensor:
    """Windows (batch, 1, D, H, W) as (batch, tokens, voxels of a patch); tokens ordered d, h, w."""
    cut = windows[:, 0]
    for axis, size in enumerate(patch, start=1):
        cut = cut.unfold(axis, size, size)
    return cut.flatten(4).flatten(1, 3)


def draw_hidden(grid: Size3, unit: Size3, share: float, rng: np.random.Generator) -> Tensor:
    """Random patches to hide, at least one.

    Parameters
    ----------
    grid
        Tokens of a window (d, h, w).
    unit
        Neighbouring patches (d, h, w) that are hidden together; divides ``grid``.
    share
        Of the patches, rounded down to whole units.

    Returns
    -------
    Tensor
        (tokens,) bool.
    """
    units = [n // size for n, size in zip(grid, unit, strict=True)]
    count = math.prod(units)
    chosen = np.zeros(count, dtype=bool)
    chosen[rng.permutation(count)[: max(1, int(share * count))]] = True
    hidden = chosen.reshape(units)
    for axis, size in enumerate(unit):
        hidden = hidden.repeat(size, axis=axis)
    return torch.from_numpy(hidden.ravel())
