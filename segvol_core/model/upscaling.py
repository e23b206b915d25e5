"""From the image's tokens to a mask's logits: two doublings of the grid, and a product."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from segvol_core.model.config import Size3
from segvol_core.model.linear import in_chunks, map_tokens

_VOXELS_AT_ONCE = 2048


class Upscaling(nn.ModuleList):
    """The image's tokens in features on four times their grid, multiplied by each prompt's weights.

    A transposed convolution whose kernels do not overlap is a linear map of each voxel to its eight
    children, and it does not matter where the voxels lie. The features of the second doubling are
    the largest tensor of the network, 131 072 voxels of 96 channels: they are made and multiplied
    some voxels at a time, and only their products are brought into spatial order.

    Parameters
    ----------
    width
        Of a token.
    grid
        Tokens (d, h, w).
    """

    def __init__(self, width: int, grid: Size3) -> None:
        doubled: Size3 = (2 * grid[0], 2 * grid[1], 2 * grid[2])
        # What they are called in the state dict is their place in this row.
        super().__init__(
            [
                nn.ConvTranspose3d(width, width // 4, kernel_size=2, stride=2),
                GridNorm(width // 4, doubled),
                nn.GELU(),
                nn.ConvTranspose3d(width // 4, width // 8, kernel_size=2, stride=2),
                nn.GELU(),
            ]
        )
        self._grid, self._doubled = grid, doubled

    def forward(self, tokens: Tensor, weights: Tensor) -> Tensor:
        """Logits (batch, 1, 4 d, 4 h, 4 w) of tokens (batch, d h w, width) and their weights.

        Parameters
        ----------
        tokens
            In the order d, h, w.
        weights
            (batch, width / 8), one for each channel of the features.
        """
        double, normalise, gelu, double_again, gelu_again = self

        def products(voxels: Tensor) -> Tensor:
            features = gelu_again(_children(voxels, double_again)).flatten(1, 2)
            logits: Tensor = features @ weights.unsqueeze(2)
            return logits.reshape(*voxels.shape[:2], 8, 1)

        features = normalise(_placed(_children(tokens, double), self._grid))
        voxels = gelu(features).flatten(1, 3)
        logits = in_chunks(products, voxels, _VOXELS_AT_ONCE)
        return _placed(logits, self._doubled).movedim(4, 1)


class GridNorm(nn.LayerNorm):
    """Normalisation over channels and space together, with weights of that full shape.

    Its weights have the published shape (channels, d, h, w), and are turned each time to where the
    features lie: with channels innermost.
    """

    def __init__(self, channels: int, grid: Size3) -> None:
        super().__init__([channels, *grid])

    def forward(self, features: Tensor) -> Tensor:
        """Normalise (batch, d, h, w, channels)."""
        weight, bias = self.weight.movedim(0, 3), self.bias.movedim(0, 3)
        return F.layer_norm(features, features.shape[1:], weight, bias, self.eps)


def _children(voxels: Tensor, double: nn.Module) -> Tensor:
    """Children (batch, n, 8, out channels) of voxels (batch, n, channels)."""
    weight = double.get_parameter("weight").permute(2, 3, 4, 1, 0).flatten(0, 3)
    bias = double.get_parameter("bias")
    children = map_tokens(voxels, weight, bias.repeat(8))
    return children.reshape(*voxels.shape[:2], 8, len(bias))


def _placed(children: Tensor, grid: Size3) -> Tensor:
    """Children (batch, d h w, 8, channels) at their places: (batch, 2 d, 2 h, 2 w, channels)."""
    d, h, w = grid
    batch, _, _, channels = children.shape
    spread = children.reshape(batch, d, h, w, 2, 2, 2, channels).permute(0, 1, 4, 2, 5, 3, 6, 7)
    return spread.reshape(batch, 2 * d, 2 * h, 2 * w, channels)
