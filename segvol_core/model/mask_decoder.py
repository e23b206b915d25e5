"""Mask decoder: prompts and image embedding to mask logits."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segvol_core.model.config import SegVolConfig
from segvol_core.model.two_way_transformer import TwoWayTransformer
from segvol_core.model.upscaling import Upscaling

_MASK_TOKENS = 4
_IOU_HIDDEN = 256


class MaskDecoder(nn.Module):
    """SAM's mask decoder in 3-D, with the text aligned to the mask a second time (section 3.3)."""

    def __init__(self, config: SegVolConfig) -> None:
        super().__init__()
        width, grid = config.width, config.grid
        self.transformer = TwoWayTransformer(config)
        self.iou_token = nn.Embedding(1, width)
        self.mask_tokens = nn.Embedding(_MASK_TOKENS, width)
        self.output_upscaling = Upscaling(width, grid)
        # Masks 1 to 3 and the IoU head belong to the weights but not to inference.
        self.output_hypernetworks_mlps = nn.ModuleList(
            ReluMLP(width, width, width // 8) for _ in range(_MASK_TOKENS)
        )
        self.iou_prediction_head = ReluMLP(width, _IOU_HIDDEN, _MASK_TOKENS)
        self.txt_align_upscaled_embedding = nn.Linear(width, width // 8)

    def forward(
        self,
        image_embedding: Tensor,
        image_positions: Tensor,
        sparse_prompts: Tensor,
        dense_prompt: Tensor,
        text_embedding: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Decode the mask of each prompt.

        Parameters
        ----------
        image_embedding
            (1 or batch, width, d, h, w).
        image_positions
            (1, width, d, h, w).
        sparse_prompts
            (batch, tokens, width).
        dense_prompt
            (1 or batch, width, 1 or d, 1 or h, 1 or w), added to the image embedding.
        text_embedding
            (batch, width), or None when no text was given.

        Returns
        -------
        logits, mask_token, image
            Low-resolution logits (batch, 1, 4 d, 4 h, 4 w), and the token (batch, width) and the
            image's tokens (batch, d h w, width) that they were made from.
        """
        batch = sparse_prompts.shape[0]
        own = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens = torch.cat([own.expand(batch, -1, -1), sparse_prompts], dim=1)
        image = (image_embedding + dense_prompt).flatten(2).transpose(1, 2)
        image = image.expand(batch, -1, -1)
        positions = image_positions.flatten(2).transpose(1, 2)

        tokens, image = self.transformer(image, positions, tokens)
        mask_token = tokens[:, 1]
        weights = self.output_hypernetworks_mlps[0](mask_token)
        if text_embedding is not None:
            # The similarity of text and voxels is added to the mask; both are linear in the voxels.
            weights = weights + self.txt_align_upscaled_embedding(text_embedding)
        return self.output_upscaling(image, weights), mask_token, image


class ReluMLP(nn.Module):
    """Three linear layers with ReLU between them."""

    def __init__(self, width: int, hidden: int, out: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [nn.Linear(width, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, out)]
        )

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        x = F.relu(self.layers[0](x))
        x = F.relu(self.layers[1](x))
        out: Tensor = self.layers[2](x)
        return out
