"""Two-way transformer: prompts attend to the image and the image to the prompts."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from segvol_core.model.config import SegVolConfig
from segvol_core.model.linear import TokenLinear


class TwoWayTransformer(nn.Module):
    """Transformer of SAM's mask decoder (Kirillov et al. 2023, appendix A), over 3-D tokens."""

    def __init__(self, config: SegVolConfig) -> None:
        super().__init__()
        width, heads = config.width, config.decoder_heads
        self.layers = nn.ModuleList(
            TwoWayBlock(width, heads, config.decoder_mlp_width, first=index == 0)
            for index in range(config.decoder_depth)
        )
        self.final_attn_token_to_image = Attention(width, heads, inner_width=width // 2)
        self.norm_final_attn = nn.LayerNorm(width)

    def forward(self, image: Tensor, image_positions: Tensor, tokens: Tensor) -> tuple[Tensor, ...]:
        """Exchange information between tokens and image.

        Parameters
        ----------
        image, image_positions
            (batch, patches, width) and (1, patches, width).
        tokens
            (batch, tokens, width), which serve as their own positions.

        Returns
        -------
        tokens, image
            Of the same shapes.
        """
        queries, keys = tokens, image
        for layer in self.layers:
            queries, keys = layer(queries, keys, tokens, image_positions)
        attended = self.final_attn_token_to_image(queries + tokens, keys + image_positions, keys)
        return self.norm_final_attn(queries + attended), keys


class TwoWayBlock(nn.Module):
    """Self-attention of tokens, tokens to image, MLP, image to tokens."""

    def __init__(self, width: int, heads: int, mlp_width: int, *, first: bool) -> None:
        super().__init__()
        self._first = first
        self.self_attn = Attention(width, heads, inner_width=width)
        self.norm1 = nn.LayerNorm(width)
        self.cross_attn_token_to_image = Attention(width, heads, inner_width=width // 2)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = MLPBlock(width, mlp_width)
        self.norm3 = nn.LayerNorm(width)
        self.norm4 = nn.LayerNorm(width)
        self.cross_attn_image_to_token = Attention(width, heads, inner_width=width // 2)

    def forward(
        self, queries: Tensor, keys: Tensor, query_positions: Tensor, key_positions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Both sides after one exchange; shapes as in :class:`TwoWayTransformer`."""
        if self._first:
            # The tokens are still their own positions: neither added twice nor kept as a residual.
            queries = self.self_attn(queries, queries, queries)
        else:
            placed = queries + query_positions
            queries = queries + self.self_attn(placed, placed, queries)
        queries = self.norm1(queries)

        placed_keys = keys + key_positions
        queries = queries + self.cross_attn_token_to_image(
            queries + query_positions, placed_keys, keys
        )
        queries = self.norm2(queries)
        queries = self.norm3(queries + self.mlp(queries))

        keys = keys + self.cross_attn_image_to_token(
            placed_keys, queries + query_positions, queries
        )
        return queries, self.norm4(keys)


class Attention(nn.Module):
    """Multi-head attention whose inner width may be smaller than its outer one."""

    def __init__(self, width: int, heads: int, inner_width: int) -> None:
        super().__init__()
        self._heads = heads
        self.q_proj = TokenLinear(width, inner_width)
        self.k_proj = TokenLinear(width, inner_width)
        self.v_proj = TokenLinear(width, inner_width)
        self.out_proj = TokenLinear(inner_width, width)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """(batch, n, width), (batch, m, width), (batch, m, width) to (batch, n, width)."""
        q, k, v = (
            project(tokens).unflatten(2, (self._heads, -1)).transpose(1, 2)
            for project, tokens in (
                (self.q_proj, queries),
                (self.k_proj, keys),
                (self.v_proj, values),
            )
        )
        attended = F.scaled_dot_product_attention(q, k, v)
        projected: Tensor = self.out_proj(attended.transpose(1, 2).flatten(2))
        return projected


class MLPBlock(nn.Module):
    """Two linear layers with a ReLU between them."""

    def __init__(self, width: int, mlp_width: int) -> None:
        super().__init__()
        self.lin1 = TokenLinear(width, mlp_width)
        self.lin2 = TokenLinear(mlp_width, width)

    def forward(self, tokens: Tensor) -> Tensor:  # noqa: D102
        projected: Tensor = self.lin2(F.relu(self.lin1(tokens)))
        return projected
