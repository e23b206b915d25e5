"""Text encoder: an organ name to one vector, by CLIP's text transformer.

The modules carry the names of transformers 4's ``CLIPTextModel``, which the published weights were
saved from; they are written out here because the names differ between versions of that library.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segvol_core.model.config import SegVolConfig, TextConfig
from segvol_core.model.tokenizer import ClipTokenizer

SENTENCE = "A computerized tomography of a {}."
"""What the model was trained to read (paper, section 3.2)."""


class TextEncoder(nn.Module):
    """Names to vectors of the model's width; CLIP's own projection is not used."""

    def __init__(self, config: SegVolConfig) -> None:
        super().__init__()
        text = config.text
        self._tokenizer = ClipTokenizer(text.vocabulary, text.positions)
        self.clip_text_model = nn.ModuleDict({"text_model": TextTransformer(text)})
        self.dim_align = nn.Linear(text.width, config.width)

    def forward(self, names: Sequence[str]) -> Tensor:
        """Encode names.

        Parameters
        ----------
        names
            Organ names as the model saw them, for instance ``"left kidney"``.

        Returns
        -------
        Tensor
            (len(names), width).
        """
        sentences = [self._tokenizer(SENTENCE.format(name)) for name in names]
        longest = max(len(ids) for ids in sentences)
        padded = [ids + [self._tokenizer.end] * (longest - len(ids)) for ids in sentences]
        device = self.dim_align.weight.device
        ends = torch.tensor([len(ids) - 1 for ids in sentences], device=device)
        hidden = self.clip_text_model["text_model"](torch.tensor(padded, device=device))
        aligned: Tensor = self.dim_align(hidden[torch.arange(len(names), device=device), ends])
        return aligned


class TextTransformer(nn.Module):
    """Causal transformer over tokens; what follows a sentence's end cannot change its vector."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.embeddings = TokenEmbeddings(config)
        self.encoder = TextBlocks(config)
        self.final_layer_norm = nn.LayerNorm(config.width)

    def forward(self, ids: Tensor) -> Tensor:
        """(batch, tokens) ids to (batch, tokens, width)."""
        hidden = self.encoder(self.embeddings(ids))
        normalised: Tensor = self.final_layer_norm(hidden)
        return normalised


class TextBlocks(nn.Module):
    """The transformer's blocks, one after the other."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TextBlock(config) for _ in range(config.depth))

    def forward(self, hidden: Tensor) -> Tensor:  # noqa: D102
        for layer in self.layers:
            hidden = layer(hidden)
        return hidden


class TokenEmbeddings(nn.Module):
    """Vector of a token plus vector of its place."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocabulary, config.width)
        self.position_embedding = nn.Embedding(config.positions, config.width)

    def forward(self, ids: Tensor) -> Tensor:  # noqa: D102
        embedded: Tensor = self.token_embedding(ids)
        return embedded + self.position_embedding.weight[: ids.shape[1]]


class TextBlock(nn.Module):
    """Pre-norm causal attention and MLP, each with a residual."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.self_attn = CausalAttention(config.width, config.heads)
        self.layer_norm1 = nn.LayerNorm(config.width)
        self.mlp = TextMLP(config.width, config.mlp_width)
        self.layer_norm2 = nn.LayerNorm(config.width)

    def forward(self, hidden: Tensor) -> Tensor:  # noqa: D102
        hidden = hidden + self.self_attn(self.layer_norm1(hidden))
        residual: Tensor = self.mlp(self.layer_norm2(hidden))
        return hidden + residual


class CausalAttention(nn.Module):
    """Multi-head attention of each token to itself and those before it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self._heads = heads
        self.k_proj = nn.Linear(width, width)
        self.v_proj = nn.Linear(width, width)
        self.q_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, hidden: Tensor) -> Tensor:  # noqa: D102
        q, k, v = (
            project(hidden).unflatten(2, (self._heads, -1)).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        projected: Tensor = self.out_proj(attended.transpose(1, 2).flatten(2))
        return projected


class TextMLP(nn.Module):
    """Two linear layers with CLIP's approximate GELU, x · sigmoid(1.702 x), between them."""

    def __init__(self, width: int, mlp_width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, mlp_width)
        self.fc2 = nn.Linear(mlp_width, width)

    def forward(self, hidden: Tensor) -> Tensor:  # noqa: D102
        hidden = self.fc1(hidden)
        projected: Tensor = self.fc2(hidden * torch.sigmoid(1.702 * hidden))
        return projected
