"""The precision of matrix products in training, and gradients that it can hold."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Literal

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

from segvol_core.errors import SegVolError

Precision = Literal["auto", "float32", "bfloat16", "float16"]
"""``auto``: bfloat16 where that is faster, else float32."""

_LOWER = {"bfloat16": torch.bfloat16, "float16": torch.float16}
_SMALLEST_SCALE = 2.0**-10
"""Below it: 27 steps in a row without a finite gradient, from GradScaler's first scale of 2^16."""


class PrecisionError(SegVolError):
    """Numbers of a training that its precision cannot hold."""


def products_in(precision: Precision, device: torch.device) -> AbstractContextManager[None]:
    """Compute matrix products in a precision; weights and sums stay in single precision."""
    lower = _LOWER.get(chosen(precision, device))
    return torch.autocast(device.type, lower, enabled=lower is not None)


def chosen(precision: Precision, device: torch.device) -> Precision:
    """What ``auto`` is on a device; any other precision is itself.

    Processors without AVX-512 compute a convolution in bfloat16 by another way than their usual
    one: on an AMD EPYC (Zen 3) it takes 38 times as long as in float32, a linear layer 6 times.
    """
    if precision != "auto":
        return precision
    if device.type == "cpu" and "AVX512" not in torch.backends.cpu.get_cpu_capability():
        return "float32"
    return "bfloat16"


def gradient_scaler(precision: Precision, device: torch.device) -> GradScaler:
    """What keeps gradients within float16: the loss is scaled, by as much as fits.

    For other precisions, which have the range of single precision, it does nothing.
    """
    return GradScaler(device.type, enabled=precision == "float16")


def clip_and_step(
    scaler: GradScaler,
    model: nn.Module,
    optimisers: Sequence[torch.optim.Optimizer],
    largest_gradient: float,
) -> None:
    """Take a step by the gradients of a scaled loss, no longer together than ``largest_gradient``.

    Where one of them overflows, no optimiser takes the step, and the next loss is scaled by less.

    Raises
    ------
    PrecisionError
        If they overflow however little the loss is scaled.
    """
    active = [each for each in optimisers if _has_gradients(each)]
    if not active:
        return
    for optimiser in active:
        scaler.unscale_(optimiser)
    length: Tensor = nn.utils.clip_grad_norm_(model.parameters(), largest_gradient)
    # The scaler would let an optimiser step whose own gradients were finite before clipping.
    if not scaler.is_enabled() or length.isfinite():
        for optimiser in active:
            scaler.step(optimiser)
    scaler.update()
    if scaler.is_enabled() and scaler.get_scale() < _SMALLEST_SCALE:
        raise PrecisionError(
            "This training computes values that float16 cannot hold; begin it again with "
            "“precision: bfloat16” or “float32”."
        )


def _has_gradients(optimiser: torch.optim.Optimizer) -> bool:
    return any(
        parameter.grad is not None
        for group in optimiser.param_groups
        for parameter in group["params"]
    )
