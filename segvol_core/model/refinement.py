"""Logits once more, voxel by voxel: what tokens of several voxels are too coarse to say.

The published decoder makes every voxel's logit from a token that stands for a whole patch of the
image, and 96 000 CTs teach it where edges run inside. The starter has too few CTs for that. With
``config.refinement_width`` a small U-Net (Ronneberger et al. 2015) sees the window's grey values,
the maps of the prompts and the decoder's logits on the grid of the logits, the decoder's tokens in
its lowest level (as in UNETR, Hatamizadeh et al. 2022), and adds to the logits. When zooming in it
also sees the box as it was drawn, of which the published procedure keeps only what the coarse mask
made of it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segvol_core.model.config import SegVolConfig
from segvol_core.model.prompt_priors import DRAWN_BOX_MAPS, MAPS

_GROUPS = 4
_LARGEST_LOGIT = 12.0
_SCALE_OF_LOGITS = 4.0


class Refinement(nn.Module):
    """A U-Net of three levels, whose lowest has one cell per token."""

    def __init__(self, config: SegVolConfig) -> None:
        super().__init__()
        width = config.refinement_width
        self._grid = config.grid
        self.first = Block(2 + MAPS + DRAWN_BOX_MAPS, width)
        self.down = nn.Conv3d(width, 2 * width, 2, stride=2)
        self.second = Block(2 * width, 2 * width)
        self.down_again = nn.Conv3d(2 * width, 4 * width, 2, stride=2)
        self.of_tokens = nn.Linear(config.width, 4 * width)
        self.lowest = nn.Sequential(Block(4 * width, 4 * width), Block(4 * width, 4 * width))
        self.up = nn.ConvTranspose3d(4 * width, 2 * width, 2, stride=2)
        self.second_again = Block(2 * width, 2 * width)
        self.up_again = nn.ConvTranspose3d(2 * width, width, 2, stride=2)
        self.first_again = Block(width, width)
        self.to_logits = nn.Conv3d(width, 1, 1)
        # Nothing is added before the first step.
        for parameter in self.to_logits.parameters():
            nn.init.zeros_(parameter)

    def forward(
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
        features = torch.cat(seen, dim=1)
        alone = len(features) == 1 and features.device.type == "cpu"
        if alone:
            # PyTorch has a kernel for small batches of one that is nine times slower than oneDNN's.
            features, tokens = (each.expand(2, *each.shape[1:]) for each in (features, tokens))
        first = self.first(features)
        second = self.second(self.down(first))
        meaning = self.of_tokens(tokens).transpose(1, 2).unflatten(2, self._grid)
        lowest = self.lowest(self.down_again(second) + meaning)
        second = self.second_again(second + self.up(lowest))
        first = self.first_again(first + self.up_again(second))
        added: Tensor = self.to_logits(first)
        return added[:1].float() if alone else added.float()


class Block(nn.Module):
    """A convolution over the nearest neighbours, normalised."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.convolution = nn.Conv3d(channels_in, channels_out, 3, padding=1)
        self.normalisation = nn.GroupNorm(_GROUPS, channels_out)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return F.gelu(self.normalisation(self.convolution(x)))
