"""A small U-Net (Ronneberger et al. 2015) on the grid of the logits."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_GROUPS = 4
_FEW_PLANES = 2
_DEEP_BLOCKS = 3


class UNet(nn.Module):
    """Three levels, whose lowest has a cell for 4 x 4 x 4 of the first; or four.

    Parameters
    ----------
    channels
        Of what it sees.
    width
        Channels of the first level, a multiple of 4; each further level has twice as many.
    levels
        3 or 4.
    outputs
        Channels of what it gives.
    """

    def __init__(self, channels: int, width: int, levels: int = 3, outputs: int = 1) -> None:
        super().__init__()
        self.first = Block(channels, width)
        self.down = nn.Conv3d(width, 2 * width, 2, stride=2)
        self.second = Block(2 * width, 2 * width)
        self.down_again = nn.Conv3d(2 * width, 4 * width, 2, stride=2)
        self.lowest = nn.Sequential(Block(4 * width, 4 * width), Block(4 * width, 4 * width))
        self.deepest = Deepest(4 * width) if levels > 3 else None
        self.up = nn.ConvTranspose3d(4 * width, 2 * width, 2, stride=2)
        self.second_again = Block(2 * width, 2 * width)
        self.up_again = nn.ConvTranspose3d(2 * width, width, 2, stride=2)
        self.first_again = Block(width, width)
        self.to_logits = nn.Conv3d(width, outputs, 1)
        # Nothing is added before the first step.
        for parameter in self.to_logits.parameters():
            nn.init.zeros_(parameter)

    def forward(self, features: Tensor, meaning: Tensor | None = None) -> Tensor:
        """Addition to logits (batch, outputs, d, h, w).

        Parameters
        ----------
        features
            (batch, channels, d, h, w), each side a multiple of 4, or of 8 with four levels.
        meaning
            (batch, 4 width, d / 4, h / 4, w / 4), added to what the lowest level sees.
        """
        alone = len(features) == 1 and features.device.type == "cpu"
        if alone:
            # PyTorch has a kernel for small batches of one that is nine times slower than oneDNN's.
            features = features.expand(2, *features.shape[1:])
        first = self.first(features)
        second = self.second(self.down(first))
        below = self.down_again(second)
        lowest = self.lowest(below if meaning is None else below + meaning)
        if self.deepest is not None:
            lowest = lowest + self.deepest(lowest)
        second = self.second_again(second + self.up(lowest))
        first = self.first_again(first + self.up_again(second))
        added: Tensor = self.to_logits(first)
        return added[:1].float() if alone else added.float()


class Deepest(nn.Module):
    """A fourth level, which sees far and adds to the third; nothing before the first step."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down = nn.Conv3d(channels, 2 * channels, 2, stride=2)
        self.blocks = nn.ModuleList(Block(2 * channels, 2 * channels) for _ in range(_DEEP_BLOCKS))
        self.up = nn.ConvTranspose3d(2 * channels, channels, 2, stride=2)
        for parameter in self.up.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        x = self.down(x)
        for block in self.blocks:
            x = x + block(x)
        added: Tensor = self.up(x)
        return added


class Block(nn.Module):
    """A convolution over the nearest neighbours, normalised."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.convolution = nn.Conv3d(channels_in, channels_out, 3, padding=1)
        self.normalisation = nn.GroupNorm(_GROUPS, channels_out)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        if x.shape[2] <= _FEW_PLANES:
            # In bfloat16 oneDNN gives the weights of so few planes the gradient of memory that
            # nobody has written (PyTorch 2.13).
            with torch.autocast(x.device.type, enabled=False):
                x = self.convolution(x.float())
        else:
            x = self.convolution(x)
        return F.gelu(self.normalisation(x))
