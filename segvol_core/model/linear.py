"""Linear maps of many tokens, through the kernel that is fastest where they run.

On a CPU, PyTorch hands single-precision matrix products to MKL, which on some AMD processors uses
half of the vector width, and 1 x 1 convolutions to oneDNN, which uses all of it. A linear map of
tokens is a 1 x 1 convolution of a channels-last image one pixel high, without a copy on either
side: 2.3 times faster at the published sizes on one AMD EPYC, a tenth faster on another.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_MANY_TOKENS = 128


def map_tokens(tokens: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``F.linear`` on (batch, tokens, channels): the same result, faster on a CPU."""
    on_cpu = tokens.device.type == "cpu" and tokens.dtype == torch.float32
    if not on_cpu or tokens.shape[1] < _MANY_TOKENS:
        return F.linear(tokens, weight, bias)
    image = tokens.transpose(1, 2).unsqueeze(2)
    return F.conv2d(image, weight[:, :, None, None], bias).squeeze(2).transpose(1, 2)


def in_chunks(mapping: Callable[[Tensor], Tensor], tokens: Tensor, chunk: int) -> Tensor:
    """``mapping(tokens)`` of (batch, tokens, channels), where it maps each token on its own.

    On a CPU, and without gradients, some tokens at a time: what lies between the steps of the
    mapping stays in the processor's cache, and is not memory that the system clears anew each time.
    """
    if torch.is_grad_enabled() or tokens.device.type != "cpu" or tokens.shape[1] <= chunk:
        return mapping(tokens)
    return torch.cat([mapping(part) for part in torch.split(tokens, chunk, dim=1)], dim=1)


class TokenLinear(nn.Linear):
    """``nn.Linear`` through :func:`map_tokens`."""

    def forward(self, tokens: Tensor) -> Tensor:  # noqa: D102
        return map_tokens(tokens, self.weight, self.bias)
