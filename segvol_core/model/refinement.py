"""Logits once more, voxel by voxel: what tokens of several voxels are too coarse to say.

The published decoder makes every voxel's logit from a token that stands for a whole patch of the
image, and 96 000 CTs teach it where edges run inside. The starter has too few CTs for that. With
``config.refinement_width`` a small U-Net sees the window's grey values, the maps of the prompts and
the decoder's logits on the grid of the logits, the decoder's tokens in its lowest level (as in
UNETR, Hatamizadeh et al. 2022), and adds to the logits. When zooming in it also sees the box as it
was drawn, of which the published procedure keeps only what the coarse mask made of it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segvol_core.model.config import SegVolConfig
from segvol_core.model.prompt_priors import DRAWN_BOX_MAPS, MAPS
from segvol_core.model.unet import UNet

_LARGEST_LOGIT = 12.0
_SCALE_OF_LOGITS = 4.0


class Refinement(UNet):
    """A U-Net whose lowest level has one cell per token, and sees the tokens."""

    def __init__(self, config: SegVolConfig) -> None:
        super().__init__(2 + MAPS + DRAWN_BOX_MAPS, config.refinement_width)
        self._grid = config.grid
        self.of_tokens = nn.Linear(config.width, 4 * config.refinement_width)

    def refine(
        self, image: Tensor, maps: Tensor, drawn_box: Tensor, logits: Tensor, tokens: Tensor
    ) -> Tensor:
        """An addition to the logits.

        Parameters
        ----------
        image
            (1 or batch, D, H, W), grey values in [0, 1].
        maps
            (batch, ``MAPS``, 4 d, 4 h, 4 w), from :class:`PromptPriors`.
        drawn_box
            (batch, ``DRAWN_BOX_MAPS``, 4 d, 4 h, 4 w), from :meth:`PromptPriors.of_drawn_box`;
            zeros without a box.
        logits
            (batch, 1, 4 d, 4 h, 4 w).
        tokens
            (batch, d h w, width), the image as the decoder leaves it.

        Returns
        -------
        Tensor
            (batch, 1, 4 d, 4 h, 4 w).
        """
        grey = F.adaptive_avg_pool3d(image.float(), tuple(logits.shape[2:])).unsqueeze(1)  # type: ignore[arg-type]
        seen = [
            (2 * grey - 1).expand(len(logits), -1, -1, -1, -1),
            maps,
            drawn_box,
            logits.float().clamp(-_LARGEST_LOGIT, _LARGEST_LOGIT) / _SCALE_OF_LOGITS,
        ]
        meaning = self.of_tokens(tokens).transpose(1, 2).unflatten(2, self._grid)
        added: Tensor = self(torch.cat(seen, dim=1), meaning)
        return added
