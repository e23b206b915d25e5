"""Networks small enough to be made and run in milliseconds: the sizes that all tests share."""

from dataclasses import replace

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

SMALL_READING = replace(
    SMALL,
    depth=1,
    text=replace(SMALL.text, depth=1, positions=77, vocabulary=49408),
)
"""With room for every word of the published tokenizer, for programs that are given any text."""
