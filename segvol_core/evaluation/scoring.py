"""Prompts answered on a labelled CT, and how good each answer is."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from segvol_core.evaluation.baselines import Baselines, baselines
from segvol_core.evaluation.cases import LabelledCase, Structure
from segvol_core.evaluation.label_prompts import PromptKind, prompts_from_label
from segvol_core.evaluation.metrics import Mask, bounding_box, dice, surface_dice
from segvol_core.model.segvol import SegVol
from segvol_core.prompts import Prompts
from segvol_core.session import Session
from segvol_core.zoom import Placement

MIN_VOXELS = 20
"""Structures with fewer voxels are left out: their Dice says more of chance than of a network."""


@dataclass(frozen=True)
class PlannedPrompt:
    """A prompt to be answered, and what it asks for."""

    structure: Structure
    kind: PromptKind
    prompts: Prompts


@dataclass(frozen=True)
class Score:
    """How good one answer is.

    Attributes
    ----------
    windows
        How windows were placed, ``"lattice"`` or ``"published"``.
    dice, surface_dice
        Against the label; see :mod:`segvol_core.evaluation.metrics`.
    baselines
        Dice of the trivial answers to the structure's box, whatever the prompt was.
    label_ml, answer_ml
        Volumes.
    seconds
        From the prompt to the final mask. For the first prompt of a session this includes
        preparing the volume.
    first_prompt
        Whether it was the first of its session, before anything was computed.
    cut_off
        Whether the structure reaches the edge of the volume, so that part of it may be missing.
    agreement
        Dice between the masks of lattice and published windows; None where only one was computed,
        or both are empty.
    """

    case: str
    structure: str
    kind: PromptKind
    windows: Placement
    dice: float
    surface_dice: float
    baselines: Baselines
    label_ml: float
    answer_ml: float
    seconds: float
    first_prompt: bool
    cut_off: bool
    agreement: float | None = None


def plan_prompts(
    case: LabelledCase,
    structures: Sequence[Structure],
    kinds: Sequence[PromptKind],
    min_voxels: int = MIN_VOXELS,
) -> list[PlannedPrompt]:
    """Prompts of each kind for each structure.

    Structures of fewer than ``min_voxels`` voxels are left out; so are prompts with a text for
    what the vocabulary does not know. Structures that the volume's edge cuts off stay in.
    """
    planned = []
    for structure in structures:
        mask = case.mask(structure)
        if int(mask.sum()) < max(min_voxels, 1):
            continue
        for kind in kinds:
            prompts = prompts_from_label(case.volume, mask, structure.name, kind)
            if prompts is not None:
                planned.append(PlannedPrompt(structure, kind, prompts))
    return planned


def score_prompts(
    model: SegVol,
    case: LabelledCase,
    planned: Sequence[PlannedPrompt],
    placements: Sequence[Placement] = ("lattice",),
) -> Iterator[Score]:
    """Answer prompts one after the other in one session per placement, and score each mask.

    Yields as many scores as there are prompts times placements.
    """
    sessions: dict[Placement, Session] = {}
    for prompt in planned:
        label = case.mask(prompt.structure)
        trivial, cut_off = baselines(label), _is_cut_off(label)
        answers: dict[Placement, tuple[Mask, float, bool]] = {}
        for placement in placements:
            started = time.perf_counter()
            first = placement not in sessions
            if first:
                sessions[placement] = Session(model, case.volume, windows=placement)
            mask = sessions[placement].mask(prompt.prompts)
            answers[placement] = (mask, time.perf_counter() - started, first)
        masks = [mask for mask, *_ in answers.values()]
        agreement = None
        # Two empty masks agree on nothing that anyone could use.
        if len(masks) == 2 and any(mask.any() for mask in masks):
            agreement = dice(*masks)
        for placement, (mask, seconds, first) in answers.items():
            yield Score(
                case=case.name,
                structure=prompt.structure.name,
                kind=prompt.kind,
                windows=placement,
                dice=dice(mask, label),
                surface_dice=surface_dice(mask, label, case.spacing_kji),
                baselines=trivial,
                label_ml=_millilitres(label, case),
                answer_ml=_millilitres(mask, case),
                seconds=seconds,
                first_prompt=first,
                cut_off=cut_off,
                agreement=agreement,
            )


def _is_cut_off(mask: Mask) -> bool:
    low, high = bounding_box(mask)
    return bool((low == 0).any() or (high == [n - 1 for n in mask.shape]).any())


def _millilitres(mask: Mask, case: LabelledCase) -> float:
    voxel_mm3 = abs(np.linalg.det(case.volume.ijk_to_ras[:3, :3]))
    return float(np.count_nonzero(mask) * voxel_mm3 / 1000)
