"""Sizes of a SegVol network: the published model is one configuration, the starter another."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Size3 = tuple[int, int, int]
"""A size in voxels or tokens in the order (z, y, x), which the paper writes (D, H, W)."""

PromptCoordinates = Literal["published", "aligned"]


@dataclass(frozen=True)
class TextConfig:
    """Sizes of the text encoder; the defaults are CLIP ViT-B/32's text transformer."""

    width: int = 512
    depth: int = 12
    heads: int = 8
    mlp_width: int = 2048
    positions: int = 77
    vocabulary: int = 49408


@dataclass(frozen=True)
class SegVolConfig:
    """Sizes of a SegVol network; the defaults are the published model's.

    Parameters
    ----------
    window
        Voxels (z, y, x) that the network sees at once.
    patch
        Voxels (z, y, x) of one token; divides ``window``.
    width, depth, heads, mlp_width
        Image encoder; ``width`` is also the width of prompts and of the mask decoder.
    decoder_depth, decoder_heads, decoder_mlp_width
        Two-way transformer of the mask decoder.
    prompt_coordinates
        ``"published"`` keeps the axis mix-up that the released weights were trained with (see
        ``positional_encoding.py``), ``"aligned"`` encodes points and tokens alike.
    prompt_priors
        Whether maps of the prompts are added to embedding and logits (``prompt_priors.py``); the
        published network has none.
    refinement_width
        Channels of the U-Net that refines logits (``refinement.py``), a multiple of 4; 0 for none,
        as in the published network. It needs ``prompt_priors``.
    region_network_width
        Channels of the U-Net that answers boxes and clicks without a coarse mask
        (``region_network.py``), a multiple of 4; 0 for none, as in the published network.
    region_network_levels
        3 or 4 levels of that U-Net: how far it sees.
    region_network_exact_clicks
        Whether that U-Net is shown the very voxel of a click, or its surroundings.
    name_network_width
        Channels of the U-Net that looks for what is named in the whole image
        (``name_network.py``), a multiple of 4; 0 for none, as in the published network.
    hounsfield_levels
        Grey value in [0, 1] of some Hounsfield values, rising, between which the others are
        interpolated; or None to normalise each volume by its own foreground, as the paper does.
    spacing_mm
        Voxel size (z, y, x) to which a volume is resampled first, or None to work on the volume's
        own voxels, as the paper does.
    trained_names
        Names of the structures that the network has seen with their labels, or None for the
        published model's.
    """

    window: Size3 = (32, 256, 256)
    patch: Size3 = (4, 16, 16)
    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp_width: int = 3072
    decoder_depth: int = 2
    decoder_heads: int = 8
    decoder_mlp_width: int = 2048
    text: TextConfig = field(default_factory=TextConfig)
    prompt_coordinates: PromptCoordinates = "published"
    prompt_priors: bool = False
    refinement_width: int = 0
    region_network_width: int = 0
    region_network_levels: int = 3
    region_network_exact_clicks: bool = False
    name_network_width: int = 0
    hounsfield_levels: tuple[tuple[float, float], ...] | None = None
    spacing_mm: tuple[float, float, float] | None = None
    trained_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if len(self.window) != 3 or len(self.patch) != 3:
            raise ValueError("window and patch have three sizes each (z, y, x)")
        if any(w % p for w, p in zip(self.window, self.patch, strict=True)):
            raise ValueError(f"window {self.window} is not a multiple of patch {self.patch}")
        if self.width % self.heads or self.width % (2 * self.decoder_heads) or self.width % 8:
            raise ValueError(f"width {self.width} does not fit the numbers of heads")
        for name in ("refinement_width", "region_network_width", "name_network_width"):
            width = getattr(self, name)
            if width % 4 or width < 0:
                raise ValueError(f"{name} {width} is not a multiple of 4")
        if self.region_network_levels not in (3, 4):
            raise ValueError(f"region_network_levels {self.region_network_levels} is not 3 or 4")
        if self.region_network_width and any(w % self.region_network_step for w in self.window):
            raise ValueError(
                f"window {self.window} is not a multiple of {self.region_network_step}, which the "
                "region network needs"
            )
        if self.refinement_width and not self.prompt_priors:
            raise ValueError("a refinement needs prompt priors")
        if self.text.width % self.text.heads:
            raise ValueError(f"text width {self.text.width} does not fit its number of heads")

    @property
    def grid(self) -> Size3:
        """Tokens of a window (z, y, x)."""
        z, y, x = (w // p for w, p in zip(self.window, self.patch, strict=True))
        return z, y, x

    @property
    def tokens(self) -> int:
        """Number of tokens of a window."""
        z, y, x = self.grid
        return z * y * x

    @property
    def region_network_step(self) -> int:
        """Voxels of which each side of what the region network sees is a multiple."""
        return int(2 ** (self.region_network_levels - 1))

    def to_dict(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SegVolConfig:
        """Inverse of :meth:`to_dict`; a field that is absent takes its default.

        Raises
        ------
        TypeError, ValueError
            For unknown fields and sizes that do not fit each other.
        """
        fields = dict(values)
        for name in ("window", "patch", "spacing_mm", "trained_names"):
            if fields.get(name) is not None:
                fields[name] = tuple(fields[name])
        if fields.get("hounsfield_levels") is not None:
            fields["hounsfield_levels"] = tuple(map(tuple, fields["hounsfield_levels"]))
        if "text" in fields:
            fields["text"] = TextConfig(**fields["text"])
        return cls(**fields)


PUBLISHED = SegVolConfig()
"""The model of the paper (BAAI/SegVol): 180.9 M parameters."""
