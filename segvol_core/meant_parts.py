"""What of a mask belongs to a click or a name: one structure is meant, and not others far away.

Not part of the published procedure: for networks with ``config.region_network_width`` or
``config.name_network_width``.
"""

from __future__ import annotations

import SimpleITK
import torch
from torch import Tensor

from segvol_core.islands import islands
from segvol_core.model.config import Size3
from segvol_core.zoom import OUTSIDE_LOGIT

_PASSABLE_LOGIT = -2.0
"""What joins two parts of a thin structure need not be in its mask: at 0, spinal cords are torn."""
_LEAST_SHARE_OF_LARGEST = 0.3
"""A lung's two parts, or a bowel's, are more alike; what leaks into a neighbour is less."""


def leave_out_what_is_apart(clicked: Tensor, low: Size3, logits: Tensor) -> None:
    """Leave out of a mask, in place, what no likely voxels join to a click.

    Everything is kept if no click is on a likely voxel, which is better than nothing.

    Parameters
    ----------
    clicked
        (n, 3) voxels (z, y, x) of the image, inside the part that the logits are of.
    low
        First voxel of that part.
    logits
        (d, h, w) of that part.
    """
    seeds = clicked - torch.tensor(low)
    joined = SimpleITK.ConnectedThreshold(
        SimpleITK.GetImageFromArray(logits.numpy()),
        seedList=[(x, y, z) for z, y, x in seeds.tolist()],
        lower=_PASSABLE_LOGIT,
        upper=float(logits.max()),
    )
    found = torch.from_numpy(SimpleITK.GetArrayFromImage(joined)) > 0
    if found.any():
        logits[(logits > 0) & ~found] = OUTSIDE_LOGIT


def leave_out_small_parts(logits: Tensor) -> None:
    """Leave out of a mask, in place, what is much smaller than its largest connected part.

    Parameters
    ----------
    logits
        (D, H, W).
    """
    numbers = torch.from_numpy(islands((logits > 0).numpy()).astype("int64"))
    _outside, *sizes = torch.bincount(numbers.flatten(), minlength=1).tolist()
    kept = sum(size >= _LEAST_SHARE_OF_LARGEST * sizes[0] for size in sizes)
    logits[numbers > kept] = OUTSIDE_LOGIT
