"""What a mask shows: each name is asked for as a text prompt, and its mask compared with this one.

The text branch of the network scores masks for names (paper, figure 5).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from segvol_core import organs
from segvol_core.inference import ZoomOutZoomIn
from segvol_core.model.config import SegVolConfig
from segvol_core.name_answers import soft_dice
from segvol_core.organs import Organ

_TEMPERATURE = 0.12
"""Difference of two scores that makes one name e times as probable; chosen on training cases."""
_TEXTS_AT_ONCE = 2
"""A new click waits until these are done; more at once take longer for each, and fewer too."""


@dataclass(frozen=True)
class Naming:
    """A name for a mask.

    Attributes
    ----------
    probability
        0 to 1; over all names that were asked for they add up to 1.
    """

    organ: Organ
    probability: float


def known_organs(config: SegVolConfig) -> tuple[Organ, ...]:
    """Organs whose names a network has learnt: its configuration's, else all of the vocabulary."""
    if config.trained_names is None:
        return tuple(organ for organ in organs.vocabulary() if organ.trained)
    return tuple(_organ_called(name) for name in config.trained_names)


def name_in_steps(
    zoom: ZoomOutZoomIn, mask: Tensor, candidates: Sequence[Organ]
) -> Iterator[list[Naming] | None]:
    """None after each few names, so that whoever waits can stop; at last all of them.

    Parameters
    ----------
    zoom
        The volume that the mask lies on.
    mask
        (D, H, W) on the prepared image, bool, not empty.
    candidates
        Organs to choose from; they come back with their probabilities, the most probable first.
    """
    if zoom.name_answers is not None:
        vectors = []
        for organ in candidates:
            vectors.append(zoom.embed_text(organ.prompt))
            yield None
        yield _in_order(candidates, zoom.name_answers.likeness(mask, torch.cat(vectors)))
        return
    window = zoom.window_of(mask)
    wanted_here = window.cut_from(mask.float())
    wanted = F.adaptive_avg_pool3d(mask.float()[None], zoom.window_size)[0]
    scores = []
    for first in range(0, len(candidates), _TEXTS_AT_ONCE):
        texts = [organ.prompt for organ in candidates[first : first + _TEXTS_AT_ONCE]]
        whole, here = zoom.look_for(texts, window)
        scores.append((soft_dice(whole, wanted) + soft_dice(here, wanted_here)) / 2)
        yield None
    yield _in_order(candidates, torch.cat(scores))


def _in_order(candidates: Sequence[Organ], scores: Tensor) -> list[Naming]:
    """Organs with the probabilities that their scores make, the most probable first."""
    probabilities = torch.softmax(scores / _TEMPERATURE, dim=0).tolist()
    namings = [Naming(*pair) for pair in zip(candidates, probabilities, strict=True)]
    return sorted(namings, key=lambda naming: -naming.probability)


def _organ_called(name: str) -> Organ:
    return organs.find_known(name) or organs.free_text(name)
