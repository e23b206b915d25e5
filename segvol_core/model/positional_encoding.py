"""Where a voxel is, as random Fourier features.

The published model encodes its image tokens and its prompts in two ways that do not fit each
other, inherited from SAM's (x, y) order of image coordinates:

- tokens: cell centres in [0, 1], but the three columns are ordered (h, d, w);
- prompts: columns (d, h, w), of which the first (d) is divided by the window's height and the
  second (h) by its depth.

The released weights were trained so, and the network has learnt to live with it. It is kept, here
and nowhere else, under ``prompt_coordinates="published"``. Networks trained by this project use
``"aligned"``: columns (d, h, w) for both, each divided by its own side.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from segvol_core.model.config import PromptCoordinates, Size3


class PositionalEncoding(nn.Module):
    """Random Fourier features of coordinates in [0, 1]; the matrix comes with the weights."""

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, width: int, window: Size3, coordinates: PromptCoordinates) -> None:
        super().__init__()
        self._window = window
        self._aligned = coordinates == "aligned"
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(3, width // 2))

    def of_grid(self, grid: Size3) -> Tensor:
        """Encoding of every token of a grid (d, h, w): (1, width, d, h, w)."""
        matrix = self.positional_encoding_gaussian_matrix
        axes = [(torch.arange(n, device=matrix.device) + 0.5) / n for n in grid]
        d, h, w = torch.meshgrid(*(axis.to(matrix.dtype) for axis in axes), indexing="ij")
        columns = (d, h, w) if self._aligned else (h, d, w)
        return self._encode(torch.stack(columns, dim=-1)).permute(3, 0, 1, 2).unsqueeze(0)

    def of_voxels(self, voxels: Tensor) -> Tensor:
        """Encoding of voxel indices (…, 3) in the order (d, h, w): (…, width)."""
        depth, height, width = self._window
        sides = (depth, height, width) if self._aligned else (height, depth, width)
        coordinates = (voxels + 0.5) / torch.tensor(sides, dtype=voxels.dtype, device=voxels.device)
        return self._encode(coordinates)

    def _encode(self, coordinates: Tensor) -> Tensor:
        angles = 2 * math.pi * ((2 * coordinates - 1) @ self.positional_encoding_gaussian_matrix)
        return torch.cat([angles.sin(), angles.cos()], dim=-1)
