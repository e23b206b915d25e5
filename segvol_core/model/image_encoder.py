"""Image encoder: a 3-D vision transformer (ViT-B in the published model)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segvol_core.model.config import SegVolConfig, Size3
from segvol_core.model.linear import TokenLinear, in_chunks

_TOKENS_AT_ONCE = 1024


class ImageEncoder(nn.Module):
    """Window of a CT to one embedding per patch (paper, section 3.1).

    The module names are MONAI 0.9's, whose ViT the published weights come from.
    """

    def __init__(self, config: SegVolConfig) -> None:
        super().__init__()
        self.patch_embedding = PatchEmbedding(config)
        self.blocks = nn.ModuleList(
            TransformerBlock(config.width, config.heads, config.mlp_width)
            for _ in range(config.depth)
        )
        self.norm = nn.LayerNorm(config.width)
        self._grid = config.grid

    def forward(self, image: Tensor) -> Tensor:
        """Encode windows.

        Parameters
        ----------
        image
            (batch, 1, D, H, W), grey values in [0, 1].

        Returns
        -------
        Tensor
            (batch, width, d, h, w), one column per patch.
        """
        tokens = self.patch_embedding(image)
        for block in self.blocks:
            tokens = block(tokens)
        normalised: Tensor = self.norm(tokens)
        batch, _, width = normalised.shape
        return normalised.transpose(1, 2).reshape(batch, width, *self._grid)


class PatchEmbedding(nn.Module):
    """Linear projection of flattened patches plus a learned position."""

    def __init__(self, config: SegVolConfig) -> None:
        super().__init__()
        self._patch: Size3 = config.patch
        voxels = config.patch[0] * config.patch[1] * config.patch[2]
        # Index 0 is the flattening, which has no weights; the published keys count it.
        self.patch_embeddings = nn.Sequential(nn.Identity(), TokenLinear(voxels, config.width))
        self.position_embeddings = nn.Parameter(torch.zeros(1, config.tokens, config.width))
        nn.init.trunc_normal_(self.position_embeddings, std=0.02)

    def forward(self, image: Tensor) -> Tensor:
        """(batch, 1, D, H, W) to (batch, tokens, width); tokens ordered d, h, w."""
        batch, channels, *size = image.shape
        p_d, p_h, p_w = self._patch
        n_d, n_h, n_w = (n // p for n, p in zip(size, self._patch, strict=True))
        patches = image.reshape(batch, channels, n_d, p_d, n_h, p_h, n_w, p_w)
        patches = patches.permute(0, 2, 4, 6, 3, 5, 7, 1).flatten(4).flatten(1, 3)
        embedded: Tensor = self.patch_embeddings(patches)
        return embedded + self.position_embeddings


class TransformerBlock(nn.Module):
    """Pre-norm attention and MLP, each with a residual."""

    def __init__(self, width: int, heads: int, mlp_width: int) -> None:
        super().__init__()
        self.mlp = MLP(width, mlp_width)
        self.norm1 = nn.LayerNorm(width)
        self.attn = SelfAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:  # noqa: D102
        tokens = tokens + self.attn(self.norm1(tokens))
        residual: Tensor = self.mlp(self.norm2(tokens))
        return tokens + residual


class SelfAttention(nn.Module):
    """Multi-head attention of the tokens to each other; q, k and v come from one projection."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self._heads = heads
        self.out_proj = TokenLinear(width, width)
        self.qkv = TokenLinear(width, 3 * width, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:  # noqa: D102
        return self.joined(F.scaled_dot_product_attention(*self.heads_of(tokens)))

    def heads_of(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each (batch, heads, tokens, width of a head)."""
        qkv = self.qkv(tokens).unflatten(2, (3, self._heads, -1))
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        return q, k, v

    def joined(self, attended: Tensor) -> Tensor:
        """What all heads see (batch, heads, tokens, width of a head), as tokens."""
        projected: Tensor = self.out_proj(attended.transpose(1, 2).flatten(2))
        return projected


class MLP(nn.Module):
    """Two linear layers with the exact (erf) GELU between them."""

    def __init__(self, width: int, mlp_width: int) -> None:
        super().__init__()
        self.linear1 = TokenLinear(width, mlp_width)
        self.linear2 = TokenLinear(mlp_width, width)

    def forward(self, tokens: Tensor) -> Tensor:  # noqa: D102
        return in_chunks(self._map, tokens, _TOKENS_AT_ONCE)

    def _map(self, tokens: Tensor) -> Tensor:
        projected: Tensor = self.linear2(F.gelu(self.linear1(tokens)))
        return projected
