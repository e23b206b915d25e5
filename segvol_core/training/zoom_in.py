"""What zooming out gives to zooming in, as :mod:`segvol_core.inference` hands it on."""

from __future__ import annotations

import torch
from torch import Tensor

from segvol_core.training.augmentation import Positions, at_positions
from segvol_core.zoom import NO_BOX, OUTSIDE_LOGIT


def coarse_in_window(logits: Tensor, positions: Positions) -> Tensor:
    """Zoom-out logits (n, 1, D, H, W) at the voxels of a window: (n, D, H, W)."""
    _, _, *window = logits.shape
    found = at_positions(logits, positions, window)[:, 0]  # type: ignore[arg-type]
    for axis, (place, size) in enumerate(zip(positions, window, strict=True)):
        shape = [1, 1, 1, 1]
        shape[axis + 1] = -1
        beyond = ((place < -0.5) | (place > size - 0.5)).to(found.device)
        found = found.masked_fill(beyond.view(shape), OUTSIDE_LOGIT)
    return found


def boxes_around(foreground: Tensor) -> Tensor:
    """First and last voxel (n, 6) of each mask (n, D, H, W); ``NO_BOX`` where it is empty."""
    low, high = [], []
    for axis in (1, 2, 3):
        others = tuple(other for other in (1, 2, 3) if other != axis)
        line = foreground.any(dim=others).int()
        low.append(line.argmax(dim=1))
        high.append(line.shape[1] - 1 - line.flip(1).argmax(dim=1))
    boxes = torch.stack(low + high, dim=1).float()
    empty = ~foreground.flatten(1).any(dim=1)
    return torch.where(empty[:, None], boxes.new_tensor(NO_BOX), boxes)
