"""A network small enough to be made and run in milliseconds."""

from segvol_core.model.config import SegVolConfig, TextConfig

SMALL = SegVolConfig(
    window=(8, 32, 32),
    patch=(4, 8, 8),
    width=48,
    depth=2,
    heads=4,
    mlp_width=96,
    decoder_heads=4,
    decoder_mlp_width=64,
    text=TextConfig(width=32, depth=2, heads=2, mlp_width=64, positions=32, vocabulary=1024),
)
