"""The network as the published code computes it, for the benchmark's baseline."""

from __future__ import annotations

from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from segvol_core.model.image_encoder import SelfAttention
from segvol_core.model.linear import TokenLinear
from segvol_core.model.segvol import SegVol


def use_published_kernels(model: SegVol) -> AbstractContextManager[None]:
    """Make a model compute with plain linear layers, and with unfused attention in the context.

    What the published code repeats in every window besides the image encoder (the text encoder,
    resizing of weights) is left out, which favours the baseline.
    """
    for module in model.modules():
        if isinstance(module, TokenLinear):
            module.__class__ = nn.Linear  # type: ignore[assignment]
        elif isinstance(module, SelfAttention):
            module.__class__ = _UnfusedAttention
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
