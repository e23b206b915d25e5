"""What a training structure is called: the vocabulary's prompt, and its other names."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from segvol_core import organs

_PROMPT_SHARE = 0.6


def spellings(structure: str) -> tuple[str, ...]:
    """Texts for a structure as label files name it; the first is what inference passes on."""
    organ = organs.find_known(structure)
    if organ is None:
        return (organs.free_text(structure.replace("_", " ")).prompt,)
    return tuple(dict.fromkeys((organ.prompt, organ.name, *organ.spellings, *organ.synonyms)))


def draw_spelling(choices: tuple[str, ...], rng: np.random.Generator) -> str:
    """The prompt itself most of the time, so that it is learnt best; else any other name."""
    if len(choices) == 1 or rng.random() < _PROMPT_SHARE:
        return choices[0]
    return choices[1 + int(rng.integers(len(choices) - 1))]


def mirrored(structure: str, known: Mapping[str, int]) -> str | None:
    """The structure on the other side after a flip, itself if it has no side.

    None where the other side has no label of its own, so that a flipped volume cannot name it.
    """
    for side, other in (("left", "right"), ("Left", "Right")):
        if side in structure:
            partner = structure.replace(side, other)
        elif other in structure:
            partner = structure.replace(other, side)
        else:
            continue
        return partner if partner in known else None
    return structure
