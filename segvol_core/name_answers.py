"""Where a name network finds what texts name, in one look at the whole image.

Not part of the published procedure: for networks with ``config.name_network_width``, whose answer
takes the place of zooming out where nothing but a name is said.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from segvol_core.model.config import Size3
from segvol_core.model.name_network import CELL, NameNetwork, pooled


class NameAnswers:
    """A name network on one image, which is looked at when the first name is asked for.

    Parameters
    ----------
    network
        In evaluation mode.
    image
        Prepared image (D, H, W).
    device
        Where the network is.
    """

    def __init__(self, network: NameNetwork, image: Tensor, device: torch.device) -> None:
        self._network = network
        self._image = image
        self._device = device
        self._features: Tensor | None = None

    def look(self) -> Tensor:
        """Features (channels, d, h, w) of the image, which every name is compared with."""
        if self._features is None:
            with torch.inference_mode():
                self._features = self._network.look_at(self._image.to(self._device))
        return self._features

    def cells(self, text_embeddings: Tensor) -> Tensor:
        """Logits (n, d, h, w) of text embeddings (n, width) on the network's grid."""
        features = self.look()
        with torch.inference_mode():
            return self._network.compare(features, text_embeddings).cpu()

    def likeness(self, mask: Tensor, text_embeddings: Tensor) -> Tensor:
        """Dice (n,) of a mask (D, H, W), bool, and where each text is likely to be."""
        return soft_dice(self.cells(text_embeddings), pooled(mask.float(), CELL))


def soft_dice(logits: Tensor, wanted: Tensor) -> Tensor:
    """Dice (n,) of probability maps (n, d, h, w) and a mask that may count voxels partly."""
    found = torch.sigmoid(logits)
    both = (found * wanted).flatten(1).sum(1)
    return 2 * both / (found.flatten(1).sum(1) + wanted.sum()).clamp(min=1e-6)


def spread(cells: Tensor, shape: Size3) -> Tensor:
    """Logits (n, d, h, w) of a name network's cells at the voxels of the image (n, D, H, W)."""
    voxels = F.interpolate(cells[None], scale_factor=CELL, mode="trilinear", align_corners=False)[0]
    return voxels[(slice(None), *(slice(n) for n in shape))]
