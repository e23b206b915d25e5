"""What the starter is trained on: examples drawn from all cases, each kind of case in its share."""

from __future__ import annotations

import collections
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from segvol_core.model.config import SegVolConfig
from segvol_core.training.augmentation import Strength
from segvol_core.training.cases import TrainingCase
from segvol_core.training.contrast_medium import ContrastMedium
from segvol_core.training.examples import Example, ExampleSource
from segvol_core.training.name_training import NameSource, name_stream
from segvol_core.training.named_windows import NamedWindow, NamedWindows
from segvol_core.training.prompted_windows import PromptedWindows, StructureWindows
from segvol_core.training.region_training import window_stream
from segvol_core.training.starter_network import HOUNSFIELD_LEVELS

_MANY_STRUCTURES = 20
_HEAD_AND_NECK = "OpenKBP"
_DRAWN = "drawn labels"
_THICK = 80
"""Planes from which on a case shows windows enough."""
_INJECTED_OFTEN = 0.5
_NOT_IN_A_HEAD = (
    "liver", "spleen", "kidney_left", "kidney_right", "stomach", "pancreas", "gallbladder",
    "urinary_bladder", "hip_left", "hip_right", "femur_left", "femur_right", "vertebrae_L3",
)  # fmt: skip
_NOT_IN_A_TRUNK = ("Brainstem", "Mandible", "LeftParotid", "RightParotid")


@dataclass(frozen=True)
class Recipe:
    """What the starter is trained on, and how often each kind of case is seen.

    Attributes
    ----------
    many_structures, some_structures, one_structure, none
        Shares of examples from cases with so many annotated structures.
    drawn
        The share of those with fewer than many that have drawn labels: of spines.
    volumes, batches, masks
        Volumes per step and worker, kinds of prompts per volume, masks per kind: a mask costs more
        than its window, and masks of other windows teach more.
    windows, named_windows
        Per step and worker, for the region network and the name network alone.
    """

    many_structures: float = 0.50
    some_structures: float = 0.26
    drawn: float = 0.06
    one_structure: float = 0.05
    none: float = 0.13
    volumes: int = 3
    batches: int = 1
    masks: int = 4
    windows: int = 6
    named_windows: int = 2
    labelled: Strength = field(
        default_factory=lambda: Strength(
            flips=(0.08, 0.08, 0.35),
            contrast_medium=ContrastMedium(_INJECTED_OFTEN, HOUNSFIELD_LEVELS),
        )
    )
    head_and_neck: Strength = field(default_factory=lambda: Strength(scale=1.25, flips=(0, 0, 0.5)))
    other: Strength = field(default_factory=lambda: Strength(flips=(0.1, 0.1, 0.5)))


THE_RECIPE = Recipe()


def example_stream(
    cases: Sequence[TrainingCase], config: SegVolConfig, recipe: Recipe, seed: int
) -> Iterator[list[Example]]:
    """Endless examples, one per step, drawn from cases in the recipe's shares."""
    rng = np.random.default_rng(seed)
    sources = [_source(case, config) for case in cases]
    shares = _shares(cases, recipe)
    while True:
        chosen = rng.choice(len(cases), size=recipe.volumes, p=shares)
        yield [
            sources[index].draw(
                rng,
                batches=recipe.batches,
                masks=recipe.masks,
                strength=_strength(cases[index], recipe),
            )
            for index in chosen
        ]


def prompted_window_stream(
    cases: Sequence[TrainingCase], config: SegVolConfig, recipe: Recipe, seed: int
) -> Iterator[list[PromptedWindows]]:
    """Endless batches for the region network alone, in the recipe's shares too."""
    return window_stream(
        [StructureWindows(case, config.window, _region_share(case)) for case in cases],
        [_strength(case, recipe) for case in cases],
        _shares(cases, recipe),
        recipe.windows,
        seed,
        window=config.window,
        multiple=config.region_network_step,
    )


def named_window_stream(
    cases: Sequence[TrainingCase], recipe: Recipe, seed: int
) -> Iterator[list[list[NamedWindow]]]:
    """Endless batches for the name network alone, from cases with labels."""
    sources = [
        NameSource(
            NamedWindows(case, mirror_names=_is_head(case), foreign_names=_foreign_names(case)),
            _strength(case, recipe),
            share,
        )
        for case, share in zip(cases, _shares(cases, recipe), strict=True)
        if case.label_values
    ]
    return name_stream(sources, recipe.named_windows, seed)


def _shares(cases: Sequence[TrainingCase], recipe: Recipe) -> npt.NDArray[np.float64]:
    weights: dict[str, list[float]] = collections.defaultdict(lambda: [0.0] * len(cases))
    share_of = {
        "many": recipe.many_structures,
        "some": recipe.some_structures,
        "drawn": recipe.drawn,
        "one": recipe.one_structure,
        "none": recipe.none,
    }
    for index, case in enumerate(cases):
        count = len(case.label_values)
        if count >= _MANY_STRUCTURES:
            # A thin slab shows the same window again and again.
            weights["many"][index] = float(min(case.image.shape[0], _THICK) * count)
        elif case.dataset.endswith(_DRAWN):
            weights["drawn"][index] = 1.0
        elif count > 1:
            weights["some"][index] = 1.0
        else:
            weights["one" if count else "none"][index] = 1.0
    total = np.zeros(len(cases))
    for group, values in weights.items():
        total += share_of[group] * np.array(values) / sum(values)
    shares: npt.NDArray[np.float64] = total / total.sum()
    return shares


def _source(case: TrainingCase, config: SegVolConfig) -> ExampleSource:
    head = _is_head(case)
    return ExampleSource(
        case,
        config.window,
        mirror_names=head,
        text_weight=6.0 if head else 1.5,
        foreign_names=_foreign_names(case),
        named_windows=1 if config.name_network_width else 0,
    )


def _is_head(case: TrainingCase) -> bool:
    return case.dataset.startswith(_HEAD_AND_NECK)


def _foreign_names(case: TrainingCase) -> tuple[str, ...]:
    """Structures of which a case is sure to show nothing."""
    if _is_head(case):
        return _NOT_IN_A_HEAD
    return _NOT_IN_A_TRUNK if len(case.label_values) >= _MANY_STRUCTURES else ()


def _strength(case: TrainingCase, recipe: Recipe) -> Strength:
    if _is_head(case):
        return recipe.head_and_neck
    return recipe.labelled if case.label_values else recipe.other


def _region_share(case: TrainingCase) -> float:
    """Pseudo-labels beside few structures, so that prompts are not always for the same."""
    count = len(case.label_values)
    if count >= _MANY_STRUCTURES:
        return 0.15
    return 0.4 if count > 1 else 0.8
