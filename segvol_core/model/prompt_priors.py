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

from segvol_core.model import prompt_maps
from segvol_core.model.config import SegVolConfig
from segvol_core.model.prompt_maps import OF_BOX, OF_GREY_VALUES, OF_POINTS, Cells, Points

MAPS = OF_BOX + OF_POINTS + 1 + OF_GREY_VALUES
"""Of a box, of points, of a text and of grey values, in this order."""

DRAWN_BOX_MAPS = OF_BOX + OF_GREY_VALUES

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
        points: Points | None = None,
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
        cells = self._cells(image_embedding.device)
        maps = image_embedding.new_zeros(batch, MAPS, *cells.shape, dtype=torch.float32)
        if boxes is not None:
            maps[:, 0:2] = prompt_maps.of_box(cells, boxes)
        if points is not None:
            maps[:, 2:6] = prompt_maps.of_points(cells, points)
        if text_embedding is not None:
            maps[:, 6:7] = self._of_text(image_embedding, text_embedding)
        if coarse is not None:
            maps[:, 0:1] = prompt_maps.of_coarse_mask(cells, coarse, _LOGIT_OF_CERTAINTY)
        if points is not None or boxes is not None or coarse is not None:
            marked = coarse is not None or boxes is not None
            level = maps[:, 0] if marked else None
            maps[:, 7:9] = prompt_maps.of_grey_values(cells, image, points, level)
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

    def of_drawn_box(self, image: Tensor, boxes: Tensor) -> Tensor:
        """``DRAWN_BOX_MAPS`` maps of boxes, which may reach beyond the image, as in ``draw``.

        Two of the box, and likeness in grey value to what is in it: everywhere, and near it.
        """
        cells = self._cells(boxes.device)
        of_box = prompt_maps.of_box(cells, boxes)
        of_grey_values = prompt_maps.of_grey_values(cells, image, None, of_box[:, 0])
        return torch.cat([of_box, of_grey_values], dim=1)

    def _cells(self, device: torch.device) -> Cells:
        depth, height, width = (4 * n for n in self._grid)
        return prompt_maps.cells_over(self._window, (depth, height, width), device)

    def _of_text(self, image_embedding: Tensor, text_embedding: Tensor) -> Tensor:
        """Likeness of each patch to the text, interpolated between patches."""
        patches = self.of_patches(image_embedding.flatten(2).transpose(1, 2))
        names = self.of_names(F.layer_norm(text_embedding, text_embedding.shape[1:]))
        likeness = patches @ names.unsqueeze(-1) / names.shape[-1] ** 0.5
        of_tokens = likeness.float().transpose(1, 2).unflatten(2, self._grid)
        return F.interpolate(of_tokens, scale_factor=4, mode="trilinear", align_corners=False)
