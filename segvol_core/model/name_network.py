"""Where in the image is what a text names: one look at all of it for any number of names.

The published network answers one name at a time, from tokens that stand for whole patches of the
zoomed-out image; 96 000 CTs teach it that. With ``config.name_network_width`` a U-Net sees the
image on a grid of twice its voxel size and gives each cell a vector of features. How likely a name
is there is the product of that vector with one that is made of the name's text embedding, as the
published decoder compares texts with its upscaled features. All names that a case has labels for
are learnt from one look, hundreds of times more a minute than one by one.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segvol_core.model.config import SegVolConfig
from segvol_core.model.unet import UNet

CELL = 2
"""Voxels of the image per cell, along each axis."""
_STEP = 8
"""Cells of which each side of what the U-Net sees is a multiple."""
_FEATURES = 48
_PLACES = 2
_FIRST_LOGIT = -3.0
_SLAB, _MARGIN = 48, 16
"""Planes of cells that are answered at once, and that are seen on each side of them."""


class NameNetwork(nn.Module):
    """A U-Net whose features are compared with texts."""

    def __init__(self, config: SegVolConfig) -> None:
        super().__init__()
        self.unet = UNet(1 + _PLACES, config.name_network_width, levels=4, outputs=_FEATURES)
        nn.init.normal_(self.unet.to_logits.weight, std=0.1)
        self.of_text = nn.Sequential(
            nn.LayerNorm(config.width),
            nn.Linear(config.width, config.width),
            nn.GELU(),
            nn.Linear(config.width, _FEATURES + 1),
        )

    def features(self, grey: Tensor, places: Tensor) -> Tensor:
        """Features (batch, channels, d, h, w) of cells.

        Parameters
        ----------
        grey
            (batch, d, h, w), grey values in [0, 1]; sides are multiples of 8.
        places
            (batch, 2, d, h, w): where in the image a cell lies, from -1 at its back to 1 at its
            front, and from its left to its right; zero outside the image.
        """
        seen = torch.cat([2 * grey.float().unsqueeze(1) - 1, places.float()], dim=1)
        found: Tensor = self.unet(seen)
        return found

    def compare(self, features: Tensor, text_embeddings: Tensor) -> Tensor:
        """Logits (names, d, h, w) of text embeddings (names, width) in the features of one image.

        Parameters
        ----------
        features
            (channels, d, h, w).
        """
        vectors = self.of_text(text_embeddings.float())
        meaning, offset = vectors[:, :-1], vectors[:, -1]
        likeness = torch.einsum("nc,cdhw->ndhw", meaning, features) / math.sqrt(_FEATURES)
        logits: Tensor = likeness + offset[:, None, None, None] + _FIRST_LOGIT
        return logits

    def look_at(self, image: Tensor) -> Tensor:
        """Features (channels, d, h, w) of a prepared image (D, H, W), in slabs that fit memory."""
        grey = pooled(image.float(), CELL)
        depth, height, width = grey.shape
        places = torch.stack(torch.meshgrid(_across(height), _across(width), indexing="ij"))
        places = places[:, None].expand(-1, depth, -1, -1).to(grey)
        slabs = []
        for start in range(0, depth, _SLAB):
            low, high = max(0, start - _MARGIN), min(depth, start + _SLAB + _MARGIN)
            beyond = [(-n) % _STEP for n in (width, height, high - low)]
            sides = [side for after in beyond for side in (0, after)]
            seen = self.features(
                F.pad(grey[None, low:high], sides), F.pad(places[None, :, low:high], sides)
            )[0]
            wanted = slice(start - low, min(depth, start + _SLAB) - low)
            slabs.append(seen[:, wanted, :height, :width])
        return torch.cat(slabs, dim=1)


def pooled(image: Tensor, size: int) -> Tensor:
    """Means over cells of so many voxels of an image (D, H, W), with zeros after its end."""
    beyond = [side for n in reversed(image.shape) for side in (0, (-n) % size)]
    return F.avg_pool3d(F.pad(image, beyond)[None, None], size)[0, 0]


def _across(cells: int) -> Tensor:
    """Middles of cells, from -1 to 1."""
    return (2 * torch.arange(cells) + 1) / cells - 1
