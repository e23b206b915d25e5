"""Means over structures and cases."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from segvol_core.evaluation.intervals import Figures
from segvol_core.evaluation.label_prompts import PromptKind
from segvol_core.evaluation.scoring import Score, Windows


@dataclass(frozen=True)
class Mean:
    """Means over the answers to one kind of prompt with one placement of windows.

    Attributes
    ----------
    structure
        Whose answers; None for the mean over structures.
    answers
        How many.
    better
        The better baseline: the higher of the two for each answer, then the mean.
    seconds
        Without first prompts; None if there were no others.
    agreement
        As in :class:`Score`; None where only one placement was computed.
    surface_dice
        None where the size of a voxel is not known.
    hausdorff95
        In millimetres, over the answers that are not empty; None if all are.
    empty
        How many answers are empty.
    dice_after_clicks
        As in :class:`Score`.
    """

    structure: str | None
    kind: PromptKind
    windows: Windows
    answers: int
    dice: float
    surface_dice: float | None
    box: float
    ellipsoid: float
    better: float
    seconds: float | None
    agreement: float | None
    hausdorff95: float | None
    empty: int
    dice_after_clicks: tuple[float, ...]

    @property
    def gain(self) -> float:
        """Dice above the better baseline."""
        return self.dice - self.better


def means_of_structures(scores: Sequence[Score]) -> list[Mean]:
    """Mean over cases of each structure, kind and placement, in the order they first appear."""
    grouped: dict[tuple[str, PromptKind, Windows], list[Mean]] = defaultdict(list)
    for score in scores:
        grouped[score.structure, score.kind, score.windows].append(_of_one_answer(score))
    return [_averaged(structure, means) for (structure, *_), means in grouped.items()]


def means_of_kinds(scores: Sequence[Score]) -> list[Mean]:
    """Mean over structures of each kind and placement, in the order they first appear.

    Each structure counts the same, however many cases show it.
    """
    grouped: dict[tuple[PromptKind, Windows], list[Mean]] = defaultdict(list)
    for mean in means_of_structures(scores):
        grouped[mean.kind, mean.windows].append(mean)
    return [_averaged(None, means) for means in grouped.values()]


def first_prompt_seconds(scores: Iterable[Score]) -> float | None:
    """Mean seconds of the first prompts of sessions with lattice windows, if there were any."""
    return _known(s.seconds for s in scores if s.first_prompt and s.windows == "lattice")


def figures_of(scores: Iterable[Score], figure: Callable[[Score], float | None]) -> Figures:
    """One number per answer, of which means and intervals are taken."""
    return Figures((score.case, score.structure, figure(score)) for score in scores)


def _of_one_answer(score: Score) -> Mean:
    return Mean(
        structure=score.structure,
        kind=score.kind,
        windows=score.windows,
        answers=1,
        dice=score.dice,
        surface_dice=score.surface_dice,
        box=score.baselines.box,
        ellipsoid=score.baselines.ellipsoid,
        better=score.baselines.better,
        seconds=None if score.first_prompt else score.seconds,
        agreement=score.agreement,
        hausdorff95=score.hausdorff95,
        empty=int(score.answer_ml == 0),
        dice_after_clicks=score.dice_after_clicks,
    )


def _averaged(structure: str | None, means: list[Mean]) -> Mean:
    """Mean of means, which all are of one kind and one placement."""
    return Mean(
        structure=structure,
        kind=means[0].kind,
        windows=means[0].windows,
        answers=sum(mean.answers for mean in means),
        dice=float(np.mean([mean.dice for mean in means])),
        surface_dice=_known(mean.surface_dice for mean in means),
        box=float(np.mean([mean.box for mean in means])),
        ellipsoid=float(np.mean([mean.ellipsoid for mean in means])),
        better=float(np.mean([mean.better for mean in means])),
        seconds=_known(mean.seconds for mean in means),
        agreement=_known(mean.agreement for mean in means),
        hausdorff95=_known(mean.hausdorff95 for mean in means),
        empty=sum(mean.empty for mean in means),
        dice_after_clicks=_after_clicks([mean.dice_after_clicks for mean in means]),
    )


def _after_clicks(dices: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    """Mean after each click of the answers that had several."""
    several = [each for each in dices if each]
    return tuple(np.mean(several, axis=0).tolist()) if several else ()


def _known(values: Iterable[float | None]) -> float | None:
    """Mean of the values that are there."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
