"""Means over structures and cases, and how far they would move with other cases.

A case's answers are not independent of each other, so that whole cases are drawn anew, with all
their answers, and not single answers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

LEVEL = 0.95
RESAMPLES = 2000
SEED = 0

_BATCH = 100
"""Resamples at a time, so that a hundred structures of a thousand cases need 80 MB."""


@dataclass(frozen=True)
class Interval:
    """Confidence interval of a mean."""

    low: float
    high: float


class Figures:
    """One number per answer, by structure and case.

    Parameters
    ----------
    answers
        Case, structure and number of each answer; None where it has no such number.
    """

    def __init__(self, answers: Iterable[tuple[str, str, float | None]]) -> None:
        known = {(case, name): value for case, name, value in answers if value is not None}
        cases = {case: column for column, case in enumerate(dict.fromkeys(c for c, _ in known))}
        rows = {name: row for row, name in enumerate(dict.fromkeys(name for _, name in known))}
        self._table = np.full((len(rows), len(cases)), np.nan)
        for (case, name), value in known.items():
            self._table[rows[name], cases[case]] = value

    @property
    def count(self) -> int:
        """How many numbers there are."""
        return int(np.count_nonzero(~np.isnan(self._table)))

    @property
    def values(self) -> NDArray[np.float64]:
        """All numbers, shape (count,)."""
        return np.asarray(self._table[~np.isnan(self._table)])

    def mean(self) -> float:
        """Mean over structures of the mean over cases; NaN if there is no number."""
        if not self.count:
            return float("nan")
        return float(self._means(np.arange(self._table.shape[1])[None], axis=-1)[0])

    def interval(self) -> Interval | None:
        """Bootstrap confidence interval of the mean, by percentiles; None below two cases.

        Structures that none of the drawn cases shows do not count in that draw. The same numbers
        give the same interval: the seed is fixed.
        """
        cases = self._table.shape[1]
        if cases < 2:
            return None
        found = stats.bootstrap(
            (np.arange(cases),),
            self._means,
            n_resamples=RESAMPLES,
            batch=_BATCH,
            vectorized=True,
            confidence_level=LEVEL,
            method="percentile",
            random_state=np.random.default_rng(SEED),
        ).confidence_interval
        return Interval(float(found.low), float(found.high))

    def _means(self, cases: NDArray[np.int64], axis: int) -> NDArray[np.float64]:
        """Mean for each draw of cases, which lie along an axis, the last."""
        drawn = np.moveaxis(self._table[:, cases], axis, -1)
        shown = ~np.isnan(drawn)
        count = shown.sum(axis=-1)
        total = np.where(shown, drawn, 0).sum(axis=-1)
        of_structures = total / np.maximum(count, 1)
        seen = count > 0
        return np.asarray((of_structures * seen).sum(axis=0) / seen.sum(axis=0))
