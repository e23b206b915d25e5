"""Two runs side by side, answer by answer, with a paired test."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from segvol_core.evaluation.intervals import LEVEL, Figures, Interval
from segvol_core.evaluation.label_maps import EvaluationError
from segvol_core.evaluation.label_prompts import PromptKind
from segvol_core.evaluation.markdown import figure, table
from segvol_core.evaluation.scoring import Score

Asked = tuple[str, str, PromptKind]
"""Case, structure and kind of prompt."""

NOTHING_IN_COMMON = (
    "The two runs have nothing in common: no case with the same name, structure and kind of prompt."
)

_NOTE = (
    "Interval: bootstrap over cases. p: Wilcoxon signed-rank test over the pairs, two-sided, not "
    "corrected for the number of rows; it takes the answers of one case for independent."
)

Pair = tuple[Score, Score]


@dataclass(frozen=True)
class _Metric:
    """A figure of an answer, to as many digits as the CSV of a run keeps."""

    name: str
    of: Callable[[Score], float | None]
    digits: int


_METRICS = (
    _Metric("Dice", lambda score: score.dice, 4),
    _Metric("surface Dice", lambda score: score.surface_dice, 4),
    _Metric("HD95 mm", lambda score: score.hausdorff95, 3),
)


@dataclass(frozen=True)
class Difference:
    """How one metric differs between two runs, over the answers to one kind of prompt.

    Attributes
    ----------
    prompt
        Kind, and placement of windows where the runs have several.
    answers
        How many pairs.
    before, after, difference
        Means in which each structure counts the same.
    interval
        Of the difference; None for a single case.
    p
        Of Wilcoxon's signed-rank test, two-sided, over the pairs.
    """

    prompt: str
    metric: str
    answers: int
    before: float
    after: float
    difference: float
    interval: Interval | None
    p: float


def asked(scores: Iterable[Score]) -> set[Asked]:
    """What a run answered."""
    return {(score.case, score.structure, score.kind) for score in scores}


def check_common(earlier: Iterable[Score], later: set[Asked]) -> None:
    """Make sure that two runs can be compared, before minutes are spent on the later one.

    Raises
    ------
    EvaluationError
        If they have nothing in common.
    """
    if not asked(earlier) & later:
        raise EvaluationError(NOTHING_IN_COMMON)


def differences(earlier: Sequence[Score], later: Sequence[Score]) -> list[Difference]:
    """Compare the answers that two runs have in common.

    Answers belong together that are of one case, structure and kind of prompt. Only where a run
    has such answers with several placements of windows, these must be the same, too.

    Raises
    ------
    EvaluationError
        If they have nothing in common.
    """
    pairs = _pairs(earlier, later)
    if not pairs:
        raise EvaluationError(NOTHING_IN_COMMON)
    found = [_difference(prompt, metric, pairs[prompt]) for prompt in pairs for metric in _METRICS]
    return [difference for difference in found if difference is not None]


def comparison_markdown(earlier: Sequence[Score], later: Sequence[Score], name: str) -> str:
    """Table of the differences, and what it says.

    Parameters
    ----------
    earlier, later
        Called A and B.
    name
        What A is for the reader.
    """
    try:
        rows = differences(earlier, later)
    except EvaluationError as error:
        return f"{error}\n"
    header = ["prompt", "metric", "pairs", "A", "B", "B - A", f"{LEVEL:.0%} interval", "p"]
    cells = [
        [
            row.prompt,
            row.metric,
            str(row.answers),
            figure(row.before),
            figure(row.after),
            f"{row.difference:+.3f}",
            "-" if row.interval is None else f"{row.interval.low:+.3f} to {row.interval.high:+.3f}",
            "<0.0001" if row.p < 1e-4 else figure(row.p, 4),
        ]
        for row in rows
    ]
    parts = [
        f"A, {name}, and B, this run, over their common answers (each structure counts the same):",
        table(header, cells),
        _NOTE,
    ]
    return "\n\n".join(parts) + "\n"


def _pairs(earlier: Sequence[Score], later: Sequence[Score]) -> dict[str, list[Pair]]:
    """Pairs of answers by what the reader calls their prompt."""
    several = any(len(asked(scores)) < len(scores) for scores in (earlier, later))

    def key(score: Score) -> tuple[object, ...]:
        return (score.case, score.structure, score.kind, *([score.windows] if several else []))

    of_key = {key(score): score for score in earlier}
    pairs: dict[str, list[Pair]] = {}
    for score in later:
        other = of_key.get(key(score))
        if other is not None:
            prompt = score.kind.value + (f" ({score.windows})" if several else "")
            pairs.setdefault(prompt, []).append((other, score))
    return pairs


def _difference(prompt: str, metric: _Metric, pairs: Sequence[Pair]) -> Difference | None:
    """How a metric differs; None if no pair has it twice."""
    before, after, change = [], [], []
    for first, second in pairs:
        old, new = metric.of(first), metric.of(second)
        if old is None or new is None:
            continue
        # A run just computed has more digits than one out of a file, which are no difference.
        old, new = round(old, metric.digits), round(new, metric.digits)
        before.append((first.case, first.structure, old))
        after.append((first.case, first.structure, new))
        change.append((first.case, first.structure, round(new - old, metric.digits)))
    if not change:
        return None
    changes = Figures(change)
    return Difference(
        prompt=prompt,
        metric=metric.name,
        answers=changes.count,
        before=Figures(before).mean(),
        after=Figures(after).mean(),
        difference=changes.mean(),
        interval=changes.interval(),
        p=_p_value(changes.values),
    )


def _p_value(changes: NDArray[np.float64]) -> float:
    if not changes.any():
        return 1.0
    return float(stats.wilcoxon(changes).pvalue)
