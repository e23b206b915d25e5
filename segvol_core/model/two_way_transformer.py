"""Two-way transformer: prompts attend to the image and the image to the prompts."""

from __future__ import annotations

import torch
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
    """Multi-head attention whose inner width may be smaller than its outer one.

    Between a few prompt tokens and all of an image, the projections of the image's tokens are most
    of the work, and they need not be made. A query is compared with a key as ``(q Wq) (k Wk)^T``,
    which is linear in both: the few tokens are carried through both projections, once for each
    head, and compared with the image's tokens as these are. So it is with values and what becomes
    of them. The result is the same but for rounding.
    """

    def __init__(self, width: int, heads: int, inner_width: int) -> None:
        super().__init__()
        self._heads = heads
        self._scale = (inner_width // heads) ** -0.5
        self.q_proj = TokenLinear(width, inner_width)
        self.k_proj = TokenLinear(width, inner_width)
        self.v_proj = TokenLinear(width, inner_width)
        self.out_proj = TokenLinear(inner_width, width)

    def forward(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """(batch, n, width), (batch, m, width), (batch, m, width) to (batch, n, width)."""
        few = self.q_proj.out_features // self._heads
        if queries.shape[1] <= few < keys.shape[1]:
            return self._few_look_at_many(queries, keys, values)
        if keys.shape[1] <= few < queries.shape[1]:
            return self._many_look_at_few(queries, keys, values)
        return self.all_projected(queries, keys, values)

    def all_projected(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """As it is written in papers, for any numbers of tokens."""
        q, k, v = (
            self._by_head(project(tokens))
            for project, tokens in (
                (self.q_proj, queries),
                (self.k_proj, keys),
                (self.v_proj, values),
            )
        )
        attended = F.scaled_dot_product_attention(q, k, v)
        projected: Tensor = self.out_proj(attended.transpose(1, 2).flatten(2))
        return projected

    def _few_look_at_many(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        q = self._by_head(self.q_proj(queries)) * self._scale
        # The bias of the keys' projection moves all scores of a query alike: softmax ignores it.
        looks = (q @ self._of_heads(self.k_proj.weight)).flatten(1, 2)
        weights = (looks @ keys.transpose(1, 2)).softmax(dim=2)
        seen = (weights @ values).reshape(*q.shape[:3], -1)
        attended = seen @ self._of_heads(self.v_proj.weight).transpose(1, 2)
        projected: Tensor = self.out_proj(attended.transpose(1, 2).flatten(2) + self.v_proj.bias)
        return projected

    def _many_look_at_few(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        k = self._by_head(self.k_proj(keys)) * self._scale
        looked_at = (k @ self._of_heads(self.q_proj.weight)).flatten(1, 2)
        by_bias = (k @ self._of_heads(self.q_proj.bias.unsqueeze(1))).flatten(1)
        scores = torch.baddbmm(by_bias.unsqueeze(1), queries, looked_at.transpose(1, 2))
        weights = scores.reshape(*scores.shape[:2], *k.shape[1:3]).softmax(dim=3).flatten(2)
        v = self._by_head(self.v_proj(values))
        become = (v @ self._of_heads(self.out_proj.weight.T)).flatten(1, 2)
        return torch.baddbmm(self.out_proj.bias, weights, become)

    def _by_head(self, projected: Tensor) -> Tensor:
        """(batch, tokens, inner width) to (batch, heads, tokens, inner width of a head)."""
        batch, tokens, width = projected.shape
        return projected.reshape(batch, tokens, self._heads, width // self._heads).transpose(1, 2)

    def _of_heads(self, weights: Tensor) -> Tensor:
        """(inner width, n) to (heads, inner width of a head, n)."""
        inner_width, columns = weights.shape
        return weights.reshape(self._heads, inner_width // self._heads, columns)


class MLPBlock(nn.Module):
    """Two linear layers with a ReLU between them."""

    def __init__(self, width: int, mlp_width: int) -> None:
        super().__init__()
        self.lin1 = TokenLinear(width, mlp_width)
        self.lin2 = TokenLinear(mlp_width, width)

    def forward(self, tokens: Tensor) -> Tensor:  # noqa: D102
        projected: Tensor = self.lin2(F.relu(self.lin1(tokens)))
        return projected
