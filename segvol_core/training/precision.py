"""The precision of matrix products in training."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal

import torch

Precision = Literal["float32", "bfloat16"]

_LOWER = {"bfloat16": torch.bfloat16}


def products_in(precision: Precision, device: torch.device) -> AbstractContextManager[None]:
    """Compute matrix products in a precision; weights and sums stay in single precision."""
    return torch.autocast(device.type, _LOWER.get(precision), enabled=precision in _LOWER)
