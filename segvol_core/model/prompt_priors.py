"""What the prompts alone say of every voxel, for networks trained on few volumes.

The published network learns from 96 000 CTs to tell from a few tokens where a box or a click is. A
network that sees two hundred CTs for an hour does not. With ``config.prompt_priors`` it is drawn a
map of each prompt on the grid of its logits, and adds a weighted sum of the maps to them: a box is
worth an ellipsoid from the first step on, and the network learns what to change about that. The
published weights have no such maps.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segvol_core.model.config import SegVolConfig
from segvol_core.model.grey_likelihood import grey_likelihood

MAPS = 9
"""Two of a box, two of positive and two of negative points, one of a text, two of grey values."""

DRAWN_BOX_MAPS = 4

_LOWEST_LEVEL = -4.0
_NEAR_CELLS = (3.0, 10.0)
_CLICKED_CELLS = 1.4
_CORE_OF_BOX, _RIM_OF_BOX = 0.3, -3.0
_FEWEST_VOXELS = 0.5
_FIRST_WEIGHTS = (3.0, 2.0, 2.0, 2.0, -2.0, -2.0, 1.0, 1.0, 1.0)
_LOGIT_OF_CERTAINTY = 2.0


class PromptPriors(nn.Module):
    """Maps of prompts (batch, ``MAPS``, 4 d, 4 h, 4 w), and what they do to tokens and logits."""

    def __init__(self, config: SegVolConfig) -> None:
        super().__init__()
        self._window, self._grid = config.window, config.grid
        self.of_patches = nn.Linear(config.width, config.width)
        self.of_names = nn.Linear(config.width, config.width)
        self.to_tokens = nn.Linear(MAPS, config.width)
        self.to_weights = nn.Linear(config.width, MAPS)
        nn.init.zeros_(self.to_weights.weight)
        with torch.no_grad():
            self.to_weights.bias.copy_(torch.tensor(_FIRST_WEIGHTS))

    def draw(
        self,
        image: Tensor,
        image_embedding: Tensor,
        *,
        points: tuple[Tensor, Tensor] | None = None,
        boxes: Tensor | None = None,
        text_embedding: Tensor | None = None,
        coarse: Tensor | None = None,
    ) -> Tensor:
        """Maps of a batch of prompts on the image (1 or batch, D, H, W); zeros where not given.

        A coarse mask takes the place of the ellipsoid in the box: when zooming in, a box is only
        the part of the coarse mask that the window shows, which need not be round.

        Parameters are as in :meth:`SegVol.decode`.
        """
        labels = None if points is None else points[1]
        batch = next(len(each) for each in (boxes, labels, text_embedding) if each is not None)
        shape = [4 * n for n in self._grid]
        maps = image_embedding.new_zeros(batch, MAPS, *shape, dtype=torch.float32)
        if boxes is not None:
            maps[:, 0:2] = self.of_box(boxes)
        if points is not None:
            for label, first in ((1, 2), (0, 4)):
                maps[:, first : first + 2] = self._near(points[0], points[1] == label)
        if text_embedding is not None:
            maps[:, 6:7] = self._of_text(image_embedding, text_embedding)
        if coarse is not None:
            level = (coarse.float() / _LOGIT_OF_CERTAINTY).clamp(_LOWEST_LEVEL, 1).unsqueeze(1)
            maps[:, 0:1] = F.interpolate(level, shape, mode="trilinear", align_corners=False)
        if points is not None or boxes is not None or coarse is not None:
            marked = coarse is not None or boxes is not None
            maps[:, 7:9] = self._of_grey_values(image, points, maps[:, 0] if marked else None)
        return maps

    def on_tokens(self, maps: Tensor) -> Tensor:
        """The maps as an addition to the image embedding: (batch, width, d, h, w)."""
        averages = F.avg_pool3d(maps, 4)
        added: Tensor = self.to_tokens(averages.movedim(1, -1))
        return added.movedim(-1, 1)

    def on_logits(self, maps: Tensor, mask_token: Tensor) -> Tensor:
        """The maps as an addition to the logits: (batch, 1, 4 d, 4 h, 4 w)."""
        weights = self.to_weights(mask_token)
        return torch.einsum("bk,bkdhw->bdhw", weights.float(), maps).unsqueeze(1)

    def of_box(self, boxes: Tensor) -> Tensor:
        """Two maps (n, 2, 4 d, 4 h, 4 w) of boxes (n, 6), which may reach beyond the window.

        Levels of the inscribed ellipsoid (1 in its centre, 0 on it); and -1 outside the box.
        """
        low, high = boxes.float().reshape(-1, 2, 3, 1, 1, 1).unbind(1)
        centre, radius = (low + high) / 2, (high - low + 1) / 2
        squares = outside = torch.zeros((), device=boxes.device)
        for axis, cell in enumerate(self._cells(boxes.device)):
            apart = (cell - centre[:, axis]).abs()
            squares = squares + (apart / radius[:, axis]) ** 2
            outside = torch.maximum(outside, (apart > radius[:, axis]).float())
        level = (1 - squares).clamp(min=_LOWEST_LEVEL)
        return torch.stack([level, -outside], dim=1)

    def of_drawn_box(self, image: Tensor, boxes: Tensor) -> Tensor:
        """``DRAWN_BOX_MAPS`` maps of boxes as :meth:`of_box` takes them, in images as in ``draw``.

        The two of :meth:`of_box`, and likeness in grey value to what is in the box: everywhere, and
        near it.
        """
        maps = self.of_box(boxes)
        return torch.cat([maps, self._of_grey_values(image, None, maps[:, 0])], dim=1)

    def _cells(self, device: torch.device) -> list[Tensor]:
        """Voxel position of each cell of the logits, per axis, shaped to be combined."""
        cells = []
        for axis, (n, w) in enumerate(zip(self._grid, self._window, strict=True)):
            position = (torch.arange(4 * n, device=device) + 0.5) * (w / (4 * n)) - 0.5
            view = [1, 1, 1, 1]
            view[axis + 1] = -1
            cells.append(position.reshape(view))
        return cells

    def _near(self, voxels: Tensor, chosen: Tensor) -> Tensor:
        """Nearness to the nearest of the chosen points, on two scales: 1 there, 0 far away."""
        return torch.stack([self._gaussian(voxels, chosen, s) for s in _NEAR_CELLS], dim=1)

    def _gaussian(self, voxels: Tensor, chosen: Tensor, cells: float) -> Tensor:
        """1 at the nearest of the chosen points, falling off over so many cells of the logits."""
        squares = torch.zeros((), device=voxels.device)
        for axis, cell in enumerate(self._cells(voxels.device)):
            size = self._window[axis] / (4 * self._grid[axis])
            place = voxels[..., axis].float()[..., None, None, None]
            squares = squares + ((cell - place) / size) ** 2
        squares = squares.masked_fill(~chosen[..., None, None, None], float("inf")).amin(dim=1)
        return torch.exp(-squares / (2 * cells * cells))

    def _of_grey_values(
        self, image: Tensor, points: tuple[Tensor, Tensor] | None, level: Tensor | None
    ) -> Tensor:
        """Likeness in grey value to what is marked: everywhere, and near what is marked.

        Marked are the surroundings of positive points, and where the level of a box or a coarse
        mask is high; the opposite are negative points, what is far from all points, and the rim
        around box or coarse mask.
        """
        inside, outside = [], []
        near = torch.zeros(())
        if points is not None:
            voxels, labels = points
            near = self._near(voxels, labels == 1)[:, 1]
            inside.append(self._gaussian(voxels, labels == 1, _CLICKED_CELLS))
            outside.append(self._gaussian(voxels, labels == 0, _CLICKED_CELLS))
            outside.append((1 - near) * (labels == 1).any(1)[:, None, None, None])
        if level is not None:
            near = torch.sigmoid(4 * (level + 0.5))
            inside.append(torch.sigmoid(8 * (level - _CORE_OF_BOX)))
            outside.append(((level < 0) & (level > _RIM_OF_BOX)).float())
        depth, height, width = (4 * n for n in self._grid)
        grey = F.adaptive_avg_pool3d(image.float(), (depth, height, width))
        within, without = _each_as_one(inside), _each_as_one(outside)
        parts = zip(grey, within.chunk(len(grey)), without.chunk(len(grey)), strict=True)
        likeness = torch.cat([grey_likelihood(*part) for part in parts])
        return torch.stack([likeness, likeness * near], dim=1)

    def _of_text(self, image_embedding: Tensor, text_embedding: Tensor) -> Tensor:
        """Likeness of each patch to the text, interpolated between patches."""
        patches = self.of_patches(image_embedding.flatten(2).transpose(1, 2))
        names = self.of_names(F.layer_norm(text_embedding, text_embedding.shape[1:]))
        likeness = patches @ names.unsqueeze(-1) / names.shape[-1] ** 0.5
        of_tokens = likeness.float().transpose(1, 2).unflatten(2, self._grid)
        return F.interpolate(of_tokens, scale_factor=4, mode="trilinear", align_corners=False)


def _each_as_one(weights: list[Tensor]) -> Tensor:
    """Sum of weights (n, D, H, W), each of which counts as much as the others, or not at all."""
    total = torch.zeros_like(weights[0])
    for each in weights:
        voxels = each.flatten(1).sum(1)[:, None, None, None]
        total += torch.where(voxels > _FEWEST_VOXELS, each / voxels.clamp(min=_FEWEST_VOXELS), 0)
    return total
