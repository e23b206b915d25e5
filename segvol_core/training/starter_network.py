"""Sizes of the starter's network."""

from __future__ import annotations

from segvol_core.model.config import SegVolConfig, TextConfig

HOUNSFIELD_LEVELS = (
    (-1000, 0.0),
    (-200, 0.15),
    (-50, 0.25),
    (150, 0.75),
    (300, 0.85),
    (1500, 1.0),
)
"""Half of the range for soft tissue, the rest for lung, fat, contrast medium and bone."""

STARTER = SegVolConfig(
    window=(24, 40, 40),
    patch=(4, 4, 4),
    width=192,
    depth=6,
    heads=3,
    mlp_width=768,
    decoder_heads=4,
    decoder_mlp_width=384,
    text=TextConfig(width=128, depth=2, heads=4, mlp_width=256, vocabulary=4096),
    prompt_coordinates="aligned",
    prompt_priors=True,
    refinement_width=16,
    region_network_width=16,
    region_network_levels=4,
    region_network_exact_clicks=True,
    name_network_width=16,
    hounsfield_levels=HOUNSFIELD_LEVELS,
    spacing_mm=(4.0, 4.0, 4.0),
)
"""Sizes of the starter: 9.6 M parameters."""
