"""A second task during training: say of every patch which of the named structures it shows.

It has weights of its own, which are thrown away. A mask teaches the image encoder about one
structure at a time and through the whole decoder; this teaches it, and the text encoder, about all
structures of a window at once, at the cost of one small matrix product.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from segvol_core.model.config import SegVolConfig

_FIRST_LOGIT = -3.0


class Recognition(nn.Module):
    """Likeness of patches and names, each projected by a linear layer of its own."""

    def __init__(self, config: SegVolConfig) -> None:
        super().__init__()
        self.of_patches = nn.Linear(config.width, config.width)
        self.of_names = nn.Linear(config.width, config.width)
        nn.init.constant_(self.of_patches.bias, 0.0)
        self.constant = nn.Linear(config.width, 1)
        nn.init.constant_(self.constant.bias, _FIRST_LOGIT)

    def forward(self, image_embedding: Tensor, text_embedding: Tensor) -> Tensor:
        """Logits of every name at every patch.

        Parameters
        ----------
        image_embedding
            (1, width, d, h, w).
        text_embedding
            (names, width).

        Returns
        -------
        Tensor
            (names, 1, d, h, w).
        """
        grid = image_embedding.shape[2:]
        patches = self.of_patches(image_embedding.flatten(2)[0].T)
        names = self.of_names(F.layer_norm(text_embedding, text_embedding.shape[1:]))
        likeness = names @ patches.T / patches.shape[1] ** 0.5
        logits: Tensor = likeness + self.constant(text_embedding)
        return logits.reshape(-1, 1, *grid)
