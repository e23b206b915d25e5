"""What a predicted mask costs."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch.nn.functional as F
from monai.losses.dice import DiceLoss
from torch import Tensor

_SMOOTH = 1.0
"""Voxels added to both sides of the Dice ratio: an empty target wants an empty prediction."""

_dice = DiceLoss(sigmoid=True, smooth_nr=_SMOOTH, smooth_dr=_SMOOTH, reduction="none")


@dataclass(frozen=True)
class ExampleLoss:
    """Loss of an example.

    Attributes
    ----------
    total
        What is minimised.
    parts
        Its parts for the log, by name; one name may come several times.
    """

    total: Tensor
    parts: list[tuple[str, float]] = field(default_factory=list)


def target_at(target: Tensor, low_resolution_logits: Tensor) -> Tensor:
    """Masks (batch, D, H, W) averaged to the grid of the logits (batch, 1, d, h, w)."""
    depth, height, width = low_resolution_logits.shape[2:]
    return F.adaptive_avg_pool3d(target.float().unsqueeze(1), (depth, height, width))


def segmentation_loss(low_resolution_logits: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy plus Dice loss, as in the paper (section 3.4), per mask.

    Both act on the decoder's own grid: the interpolation to the window has no weights, and the
    window has several times the voxels.

    Parameters
    ----------
    low_resolution_logits
        (batch, 1, d, h, w).
    target
        (batch, D, H, W), bool.

    Returns
    -------
    Tensor
        (batch,).
    """
    wanted = target_at(target, low_resolution_logits)
    entropy = F.binary_cross_entropy_with_logits(low_resolution_logits, wanted, reduction="none")
    dice: Tensor = _dice(low_resolution_logits, wanted)
    return entropy.flatten(1).mean(1) * _ENTROPY_WEIGHT + dice.flatten(1).mean(1)


def missing_loss(logits: Tensor, target: Tensor) -> Tensor:
    """Mean cross-entropy of those cells of each mask that belong to it; 0 for an empty mask.

    Both parts of :func:`segmentation_loss` hardly see what is small while it is found nowhere.

    Parameters
    ----------
    logits
        (batch, d, h, w).
    target
        (batch, d, h, w), bool.

    Returns
    -------
    Tensor
        (batch,).
    """
    missed = (F.softplus(-logits) * target).flatten(1).sum(1)
    return missed / target.flatten(1).sum(1).clamp(min=1)


_ENTROPY_WEIGHT = 5.0
"""Most voxels are far from the mask and cost nothing, so the mean over voxels is small."""
