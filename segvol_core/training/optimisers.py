"""Which optimiser changes which weights."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

OptimiserName = Literal["muon", "adamw"]

_BETAS = (0.9, 0.98)


def make_optimisers(
    model: nn.Module, name: OptimiserName, learning_rate: float, weight_decay: float
) -> list[torch.optim.Optimizer]:
    """Optimisers of all weights that are not frozen.

    ``muon``: Muon for the matrices of layers, AdamW without decay for vectors, embeddings and
    convolutions. Muon (Jordan et al. 2024) takes steps of equal size in all directions of a matrix;
    with its update scaled to AdamW's (Liu et al. 2025) both share one learning rate.

    ``adamw``: AdamW for all, with decay for the matrices only; the published training's choice.
    """
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for key, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        embedding = "embed" in key or key.endswith(("mask_tokens.weight", "iou_token.weight"))
        (matrices if parameter.ndim == 2 and not embedding else others).append(parameter)
    optimisers: list[torch.optim.Optimizer] = []
    if matrices and name == "muon":
        optimisers.append(
            torch.optim.Muon(
                matrices,
                lr=learning_rate,
                weight_decay=weight_decay,
                adjust_lr_fn="match_rms_adamw",
            )
        )
    elif matrices:
        optimisers.append(_adamw(matrices, learning_rate, weight_decay))
    if others:
        optimisers.append(_adamw(others, learning_rate, 0.0))
    return optimisers


def _adamw(
    parameters: list[nn.Parameter], learning_rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        parameters, lr=learning_rate, betas=_BETAS, weight_decay=weight_decay, fused=True
    )
