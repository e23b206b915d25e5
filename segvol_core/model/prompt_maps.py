"""Maps of where prompts are: boxes as ellipsoids, clicks as nearness, and what looks like them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from segvol_core.model.config import Size3
from segvol_core.model.grey_likelihood import grey_likelihood

Points = tuple[Tensor, Tensor]
"""Voxels (n, k, 3) and labels (n, k): 1 positive, 0 negative, -1 says nothing."""

OF_BOX, OF_POINTS, OF_GREY_VALUES = 2, 4, 2
"""Channels of the maps of each; those of positive points come before those of negative ones."""

_LOWEST_LEVEL = -4.0
NEAR_CELLS = (3.0, 10.0)
"""Two scales of nearness to a click, as Gaussians."""
CLICKED_CELLS = 1.4
"""Over which a click says what grey value is meant, falling off as a Gaussian."""
_CORE_OF_BOX, _RIM_OF_BOX = 0.3, -3.0
_FEWEST_VOXELS = 0.5


@dataclass(frozen=True)
class Cells:
    """A grid of cells over an image.

    Attributes
    ----------
    shape
        Cells per axis (z, y, x).
    size
        Voxels per cell.
    positions
        Voxel in whose middle, or between which, each cell lies; one tensor per axis, shaped to be
        combined.
    """

    shape: Size3
    size: tuple[float, float, float]
    positions: tuple[Tensor, Tensor, Tensor]


def cells_over(image: Size3, shape: Size3, device: torch.device) -> Cells:
    """Cells of a shape over an image of a size in voxels."""
    z, y, x = (voxels / cells for voxels, cells in zip(image, shape, strict=True))
    positions = []
    for axis, (cells, size) in enumerate(zip(shape, (z, y, x), strict=True)):
        view = [1, 1, 1, 1]
        view[axis + 1] = -1
        place = (torch.arange(cells, device=device) + 0.5) * size - 0.5
        positions.append(place.reshape(view))
    return Cells(shape, (z, y, x), tuple(positions))  # type: ignore[arg-type]


def of_box(cells: Cells, boxes: Tensor) -> Tensor:
    """Two maps (n, 2, ...) of boxes (n, 6), which may reach beyond the image.

    Levels of the inscribed ellipsoid (1 in its centre, 0 on it); and -1 outside the box.
    """
    low, high = boxes.float().reshape(-1, 2, 3, 1, 1, 1).unbind(1)
    centre, radius = (low + high) / 2, (high - low + 1) / 2
    squares = outside = torch.zeros((), device=boxes.device)
    for axis, position in enumerate(cells.positions):
        apart = (position - centre[:, axis]).abs()
        squares = squares + (apart / radius[:, axis]) ** 2
        outside = torch.maximum(outside, (apart > radius[:, axis]).float())
    level = (1 - squares).clamp(min=_LOWEST_LEVEL)
    return torch.stack([level, -outside], dim=1)


def of_points(cells: Cells, points: Points, scales: tuple[float, float] = NEAR_CELLS) -> Tensor:
    """Nearness on two scales to positive, and to negative points (n, 4, ...): 1 there, 0 far."""
    voxels, labels = points
    return torch.stack(
        [_gaussian(cells, voxels, labels == label, s) for label in (1, 0) for s in scales],
        dim=1,
    )


def of_grey_values(
    cells: Cells,
    image: Tensor,
    points: Points | None,
    level: Tensor | None,
    clicked_cells: float = CLICKED_CELLS,
) -> Tensor:
    """Likeness in grey value to what is marked (n, 2, ...): everywhere, and near what is marked.

    Marked are the surroundings of positive points, and where the level of a box or a coarse mask is
    high; the opposite are negative points, what is far from all points, and the rim around box or
    coarse mask.

    Parameters
    ----------
    image
        (1 or n, D, H, W).
    level
        (n, ...) on the cells.
    clicked_cells
        How many cells round a point are its surroundings.
    """
    inside, outside = [], []
    near = torch.zeros(())
    if points is not None:
        voxels, labels = points
        near = _gaussian(cells, voxels, labels == 1, NEAR_CELLS[1])
        inside.append(_gaussian(cells, voxels, labels == 1, clicked_cells))
        outside.append(_gaussian(cells, voxels, labels == 0, clicked_cells))
        outside.append((1 - near) * (labels == 1).any(1)[:, None, None, None])
    if level is not None:
        near = torch.sigmoid(4 * (level + 0.5))
        inside.append(torch.sigmoid(8 * (level - _CORE_OF_BOX)))
        outside.append(((level < 0) & (level > _RIM_OF_BOX)).float())
    grey = F.adaptive_avg_pool3d(image.float(), cells.shape)
    within, without = _each_as_one(inside), _each_as_one(outside)
    parts = zip(grey, within.chunk(len(grey)), without.chunk(len(grey)), strict=True)
    likeness = torch.cat([grey_likelihood(*part) for part in parts])
    return torch.stack([likeness, likeness * near], dim=1)


def of_coarse_mask(cells: Cells, logits: Tensor, certain: float) -> Tensor:
    """Logits (n, D, H, W) in the place of an ellipsoid's levels: 1 at a certain logit."""
    level = (logits.float() / certain).clamp(_LOWEST_LEVEL, 1).unsqueeze(1)
    return F.interpolate(level, cells.shape, mode="trilinear", align_corners=False)


def _gaussian(cells: Cells, voxels: Tensor, chosen: Tensor, width: float) -> Tensor:
    """1 at the nearest of the chosen points, falling off over so many cells."""
    squares = torch.zeros((), device=voxels.device)
    for axis, position in enumerate(cells.positions):
        place = voxels[..., axis].float()[..., None, None, None]
        squares = squares + ((position - place) / cells.size[axis]) ** 2
    squares = squares.masked_fill(~chosen[..., None, None, None], float("inf")).amin(dim=1)
    return torch.exp(-squares / (2 * width * width))


def _each_as_one(weights: list[Tensor]) -> Tensor:
    """Sum of weights (n, D, H, W), each of which counts as much as the others, or not at all."""
    total = torch.zeros_like(weights[0])
    for each in weights:
        voxels = each.flatten(1).sum(1)[:, None, None, None]
        total += torch.where(voxels > _FEWEST_VOXELS, each / voxels.clamp(min=_FEWEST_VOXELS), 0)
    return total
