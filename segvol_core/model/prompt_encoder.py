"""Prompt encoder: points, a box and a text become tokens for the mask decoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segvol_core.model.config import SegVolConfig
from segvol_core.model.positional_encoding import PositionalEncoding

POSITIVE, NEGATIVE, IGNORE = 1, 0, -1
"""Labels of a point: in the structure, outside it, padding that says nothing."""

_MASK_CHANNELS = 16


class PromptEncoder(nn.Module):
    """Sparse tokens (points, box, text, in this order) and one dense embedding (section 3.2)."""

    def __init__(self, config: SegVolConfig) -> None:
        super().__init__()
        width = config.width
        self._width = width
        self._grid = config.grid
        self.pe_layer = PositionalEncoding(width, config.window, config.prompt_coordinates)
        # Negative point, positive point, first box corner, last box corner.
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, width) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, width)
        # Published weights have it and no published procedure uses it; kept so that they load.
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, _MASK_CHANNELS // 4, kernel_size=2, stride=2),
            nn.GroupNorm(1, _MASK_CHANNELS // 4),
            nn.GELU(),
            nn.Conv2d(_MASK_CHANNELS // 4, _MASK_CHANNELS, kernel_size=2, stride=2),
            nn.GroupNorm(1, _MASK_CHANNELS),
            nn.GELU(),
            nn.Conv2d(_MASK_CHANNELS, width, kernel_size=1),
        )
        self.no_mask_embed = nn.Embedding(1, width)

    def forward(
        self,
        points: tuple[Tensor, Tensor] | None,
        boxes: Tensor | None,
        text_embedding: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Encode prompts; at least one kind must be given.

        Parameters
        ----------
        points
            Voxels (batch, n, 3) in the order (d, h, w) and their labels (batch, n).
        boxes
            (batch, 6): first and last voxel (inclusive), each (d, h, w).
        text_embedding
            (batch, width).

        Returns
        -------
        sparse, dense
            (batch, tokens, width) and (1, width, 1, 1, 1), which is the same at every patch.
        """
        tokens: list[Tensor] = []
        if points is not None:
            tokens.append(self._encode_points(*points, pad=boxes is None))
        if boxes is not None:
            tokens.append(self._encode_boxes(boxes))
        if text_embedding is not None:
            tokens.append(text_embedding.unsqueeze(1))
        if not tokens:
            raise ValueError("a prompt needs points, a box or a text")
        return torch.cat(tokens, dim=1), self.no_mask_embed.weight.reshape(1, -1, 1, 1, 1)

    def dense_positions(self) -> Tensor:
        """Positional encoding of the image tokens: (1, width, d, h, w)."""
        return self.pe_layer.of_grid(self._grid)

    def _encode_points(self, voxels: Tensor, labels: Tensor, *, pad: bool) -> Tensor:
        if pad:
            voxels = torch.cat([voxels, voxels.new_zeros(voxels.shape[0], 1, 3)], dim=1)
            labels = torch.cat([labels, labels.new_full((labels.shape[0], 1), IGNORE)], dim=1)
        labels = labels.unsqueeze(-1)
        tokens = self.pe_layer.of_voxels(voxels)
        tokens = torch.where(labels == IGNORE, self.not_a_point_embed.weight, tokens)
        tokens = torch.where(labels == NEGATIVE, tokens + self._kind(0), tokens)
        return torch.where(labels == POSITIVE, tokens + self._kind(1), tokens)

    def _encode_boxes(self, boxes: Tensor) -> Tensor:
        corners = self.pe_layer.of_voxels(boxes.reshape(-1, 2, 3))
        return corners + torch.cat([self._kind(2), self._kind(3)])

    def _kind(self, index: int) -> Tensor:
        """What a point is, of ``point_embeddings``: (1, width)."""
        weight: Tensor = self.point_embeddings[index].get_parameter("weight")
        return weight
