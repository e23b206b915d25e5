"""What of a mask belongs to a click: who clicks means one structure, and not others far away.

Not part of the published procedure: for networks with ``config.region_network_width``.
"""

from __future__ import annotations

import SimpleITK
import torch
import torch.nn.functional as F
from torch import Tensor

from segvol_core.zoom import OUTSIDE_LOGIT

_PASSABLE_LOGIT = -2.0
"""What joins two parts of a thin structure need not be in its mask: at 0, spinal cords are torn."""
_NEAR_VOXELS = 4
"""Parts of a coarse mask within twice that of each other may be parts of one structure."""


def near_clicks(clicked: Tensor, coarse_logits: Tensor) -> Tensor:
    """Where of a coarse mask a closer look is worth it: what holds a click, and what is near that.

    The rest would be left out in the end, after most of the time had gone into it.

    Parameters
    ----------
    clicked
        (n, 3) voxels (z, y, x) of the prepared image.
    coarse_logits
        (D, H, W) on that image.

    Returns
    -------
    Tensor
        (D, H, W) bool.
    """
    spread = coarse_logits[None]
    for axis in range(3):
        reach = [_NEAR_VOXELS if other == axis else 0 for other in range(3)]
        spread = F.max_pool3d(spread, [2 * n + 1 for n in reach], stride=1, padding=reach)
    return _joined(clicked, spread[0], 0.0)


def leave_out_what_is_apart(clicked: Tensor, logits: Tensor) -> None:
    """Leave out of the mask of logits (D, H, W), in place, what no likely voxels join to a click.

    Parameters
    ----------
    clicked
        (n, 3) voxels (z, y, x).
    """
    logits[(logits > 0) & ~_joined(clicked, logits, _PASSABLE_LOGIT)] = OUTSIDE_LOGIT


def _joined(clicked: Tensor, logits: Tensor, passable: float) -> Tensor:
    """What voxels with a passable logit join to a click, (D, H, W) bool.

    Everything if no click is on such a voxel, which is better than nothing.
    """
    joined = SimpleITK.ConnectedThreshold(
        SimpleITK.GetImageFromArray(logits.numpy()),
        seedList=[(x, y, z) for z, y, x in clicked.tolist()],
        lower=passable,
        upper=float(logits.max()),
    )
    found = torch.from_numpy(SimpleITK.GetArrayFromImage(joined)) > 0
    return found if found.any() else torch.ones_like(found)
