"""The network as the published code computes it, for the benchmark's baseline."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from segvol_core.model.image_encoder import SelfAttention
from segvol_core.model.linear import TokenLinear
from segvol_core.model.segvol import SegVol
from segvol_core.model.two_way_transformer import Attention
from segvol_core.model.upscaling import GridNorm, Upscaling


def use_published_kernels(model: SegVol) -> AbstractContextManager[None]:
    """Make a model compute layer by layer as published, with unfused attention in the context.

    What the published code repeats in every window besides the image encoder (the text encoder,
    masks that nobody looks at, resizing of weights) is left out, which favours the baseline.
    """
    for module in model.modules():
        if isinstance(module, TokenLinear):
            module.__class__ = nn.Linear  # type: ignore[assignment]
        elif isinstance(module, SelfAttention):
            module.__class__ = _UnfusedAttention
        elif isinstance(module, Attention):
            module.__class__ = _AllProjected
        elif isinstance(module, Upscaling):
            module.__class__ = _AllUpscaled
        elif isinstance(module, GridNorm):
            module.__class__ = nn.LayerNorm  # type: ignore[assignment]
    # The mask decoder's, of a few tokens.
    return sdpa_kernel(SDPBackend.MATH)


class _UnfusedAttention(SelfAttention):
    """As MONAI 0.9 has it: the whole matrix of weights, scaled, and its softmax.

    PyTorch's ``MATH`` attention looks at that matrix three times more, for rows that are masked.
    """

    def forward(self, tokens: Tensor) -> Tensor:
        q, k, v = self.heads_of(tokens)
        weights = torch.einsum("bhxd,bhyd->bhxy", q, k) * q.shape[-1] ** -0.5
        attended = torch.einsum("bhxy,bhyd->bhxd", weights.softmax(dim=-1), v)
        return self.joined(attended)


class _AllProjected(Attention):
    """All tokens go through the projections, those of the image too."""

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        return self.all_projected(queries, keys, values)


class _AllUpscaled(Upscaling):
    """All features in spatial order, by transposed convolutions, before they are multiplied."""

    def forward(self, tokens: Tensor, weights: Tensor) -> Tensor:
        batch, _, width = tokens.shape
        features = tokens.transpose(1, 2).reshape(batch, width, *self._grid)
        for layer in self:
            features = layer(features)
        products = weights.unsqueeze(1) @ features.flatten(2)
        return products.reshape(-1, 1, *features.shape[2:])
