"""Prompts compared: whether they are the same, and in a few words what was done to them."""

from collections.abc import Sequence

import numpy as np

from segvol_core.prompts import Point, Position, Prompts

_SAME_MM = 1e-4
"""Slicer computes world positions under transforms in single precision."""


def same_prompts(first: Prompts | None, second: Prompts | None) -> bool:
    """Whether prompts are equal but for rounding."""
    if first is None or second is None:
        return first is second
    return (
        first.text == second.text
        and [p.positive for p in first.points] == [p.positive for p in second.points]
        and _near([p.ras for p in first.points], [p.ras for p in second.points])
        and _same_box(first, second)
    )


def what_changed(before: Prompts | None, after: Prompts | None) -> str:
    """Label of the step from some prompts to others, for instance "add point"."""
    old = () if before is None else before.points
    new = () if after is None else after.points
    if len(new) != len(old):
        verb = "add" if len(new) > len(old) else "remove"
        longer, shorter = (new, old) if len(new) > len(old) else (old, new)
        return (
            f"{verb} {_kind(longer, shorter)}point{'s' if len(longer) - len(shorter) > 1 else ''}"
        )
    if not _near([p.ras for p in old], [p.ras for p in new]):
        return "move point"
    had, has = (each is not None and each.box is not None for each in (before, after))
    if had != has:
        return "add box" if has else "remove box"
    if before is not None and after is not None and not _same_box(before, after):
        return "change box"
    return "name"


def _kind(longer: Sequence[Point], shorter: Sequence[Point]) -> str:
    negatives = [sum(not p.positive for p in points) for points in (longer, shorter)]
    return "negative " if negatives[0] > negatives[1] else ""


def _same_box(first: Prompts, second: Prompts) -> bool:
    if first.box is None or second.box is None:
        return first.box is second.box
    ours, theirs = (
        sorted(map(_rounded, prompts.box.corners)) for prompts in (first, second) if prompts.box
    )
    return _near(ours, theirs)


def _rounded(corner: Position) -> Position:
    r, a, s = (round(number, 3) for number in corner)
    return r, a, s


def _near(first: Sequence[Position], second: Sequence[Position]) -> bool:
    if len(first) != len(second):
        return False
    return not first or bool(np.abs(np.subtract(first, second)).max() < _SAME_MM)
