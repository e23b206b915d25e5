"""Examples by number: the same number is the same example, in whichever process and whenever."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from segvol_core.model.config import SegVolConfig
from segvol_core.training.cases import TrainingCase
from segvol_core.training.data.records import TrainingDataError
from segvol_core.training.examples import Example, ExampleSource
from segvol_core.training.settings import ExampleSettings

ExampleT = TypeVar("ExampleT")


class NumberedExamples:
    """Draws the example of a number from the cases for training.

    Each example has random numbers of its own, so that a training goes on at a step without
    drawing what came before, and several processes draw what one would.

    Raises
    ------
    TrainingDataError
        If no case shows anything that could be asked for.
    """

    def __init__(
        self,
        cases: Sequence[TrainingCase],
        config: SegVolConfig,
        settings: ExampleSettings,
        seed: int,
    ) -> None:
        self._settings = settings
        self._seed = seed
        useful = [
            case for case in cases if case.label_values or int(case.regions.regions.max()) > 0
        ]
        if not useful:
            raise TrainingDataError("No case has labels, or regions that could take their place.")
        self._shares = _shares(useful, settings.unlabelled_share)
        self._sources = [
            ExampleSource(
                case,
                config.window,
                mirror_names=settings.mirror_names,
                text_weight=settings.text_weight,
                named_windows=settings.named_windows if config.name_network_width else 0,
            )
            for case in useful
        ]

    def __len__(self) -> int:
        return len(self._sources)

    def draw(self, number: int) -> Example:
        """The example of a number."""
        rng = np.random.default_rng((self._seed, number))
        source = self._sources[int(rng.choice(len(self._sources), p=self._shares))]
        return source.draw(
            rng,
            batches=self._settings.batches,
            masks=self._settings.masks,
            strength=self._settings.augmentation,
        )

    def steps(self, first: int, rank: int = 0, processes: int = 1) -> Iterator[list[Example]]:
        """Endless examples of one process, one list per step, from a step on."""
        return numbered_steps(self.draw, self._settings.volumes, first, rank, processes)


def numbered_steps(
    draw: Callable[[int], ExampleT], own: int, first: int, rank: int, processes: int
) -> Iterator[list[ExampleT]]:
    """Endless examples of one process among several, ``own`` of them per step, from a step on."""
    step = first
    while True:
        start = (step * processes + rank) * own
        yield [draw(number) for number in range(start, start + own)]
        step += 1


def _shares(cases: Sequence[TrainingCase], unlabelled: float) -> npt.NDArray[np.float64]:
    labelled = np.array([bool(case.label_values) for case in cases])
    weights = np.ones(len(cases))
    if labelled.any() and not labelled.all():
        weights[labelled] = (1 - unlabelled) / labelled.sum()
        weights[~labelled] = unlabelled / (~labelled).sum()
    shares: npt.NDArray[np.float64] = weights / weights.sum()
    return shares
