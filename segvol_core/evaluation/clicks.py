"""Clicks that correct an answer, one after the other, as a user would who sees the label.

The rule by which interactive methods are usually compared: the next click goes to the centre of the
largest error, positive where something was missed, negative where too much was taken. An error is
a connected part of what was missed or of what is wrong, its size its number of voxels, its centre
its deepest voxel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from segvol_core.evaluation.label_prompts import click
from segvol_core.evaluation.metrics import Mask
from segvol_core.islands import largest_island
from segvol_core.prompts import Point, Prompts
from segvol_core.volume import Volume


def answers_to_clicks(
    answer: Callable[[Prompts], Mask], volume: Volume, label: Mask, first: Prompts, clicks: int
) -> Iterator[Mask]:
    """Answer prompts, then place another click and answer again.

    Parameters
    ----------
    answer
        Gives the mask (k, j, i) for prompts on the volume.
    volume
        Where the label lies.
    label
        (k, j, i), what is wanted.
    first
        What is said first; it holds the first click.
    clicks
        With the first.

    Yields
    ------
    As many masks (k, j, i) as there are clicks. Where nothing is left to be corrected, the last
    one again.
    """
    prompts = first
    mask = answer(prompts)
    yield mask
    for _ in range(clicks - 1):
        point = correcting_click(volume, label, mask)
        if point is not None:
            prompts = replace(prompts, points=(*prompts.points, point))
            mask = answer(prompts)
        yield mask


def correcting_click(volume: Volume, label: Mask, answer: Mask) -> Point | None:
    """Click at the centre of the largest error of an answer; None if there is no error.

    Of errors of one size a missed part comes before a wrong one, then the one that comes first in
    the array.

    Parameters
    ----------
    volume
        Where the masks lie.
    label, answer
        (k, j, i).
    """
    missed, wrong = largest_island(label & ~answer), largest_island(answer & ~label)
    positive = int(np.count_nonzero(missed)) >= int(np.count_nonzero(wrong))
    error = missed if positive else wrong
    return click(volume, error, positive=positive) if error.any() else None
