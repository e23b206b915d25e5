"""Prompts compared: whether they are the same, and in a few words what was done to them."""

from collections.abc import Sequence

import numpy as np

from segvol_core.prompts import Point, Position, Prompts
from SegVolLogic.words import tr as _

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
        return _added(old, new) if len(new) > len(old) else _removed(old, new)
    if not _near([p.ras for p in old], [p.ras for p in new]):
        return _("move point")
    had, has = (each is not None and each.box is not None for each in (before, after))
    if had != has:
        return _("add box") if has else _("remove box")
    if before is not None and after is not None and not _same_box(before, after):
        return _("change box")
    return _("name")


def _added(old: Sequence[Point], new: Sequence[Point]) -> str:
    several = len(new) - len(old) > 1
    if _negative(new) > _negative(old):
        return _("add negative points") if several else _("add negative point")
    return _("add points") if several else _("add point")


def _removed(old: Sequence[Point], new: Sequence[Point]) -> str:
    several = len(old) - len(new) > 1
    if _negative(old) > _negative(new):
        return _("remove negative points") if several else _("remove negative point")
    return _("remove points") if several else _("remove point")


def _negative(points: Sequence[Point]) -> int:
    return sum(not point.positive for point in points)


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
