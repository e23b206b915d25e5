"""The network as the published code computes it, for the benchmark's baseline."""

from __future__ import annotations

from contextlib import AbstractContextManager

from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from segvol_core.model.linear import TokenLinear
from segvol_core.model.segvol import SegVol


def use_published_kernels(model: SegVol) -> AbstractContextManager[None]:
    """Make a model compute with plain linear layers, and with unfused attention in the context.

    The published image encoder (MONAI 0.9) multiplies queries and keys, takes the softmax of the
    whole matrix, and multiplies by the values; PyTorch's ``MATH`` attention does the same. What the
    published code repeats in every window besides the image encoder (the text encoder, resizing of
    weights) is left out, which favours the baseline.
    """
    for module in model.modules():
        if isinstance(module, TokenLinear):
            module.__class__ = nn.Linear  # type: ignore[assignment]
    return sdpa_kernel(SDPBackend.MATH)
