"""Prompts answered on a labelled CT, and how good each answer is."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from segvol_core.evaluation.baselines import Baselines, baselines
from segvol_core.evaluation.cases import LabelledCase
from segvol_core.evaluation.clicks import answers_to_clicks
from segvol_core.evaluation.label_prompts import PromptKind, prompt_text, prompts_from_label
from segvol_core.evaluation.metrics import Mask, bounding_box, dice, hausdorff95, surface_dice
from segvol_core.evaluation.structures import Structure
from segvol_core.model.segvol import SegVol
from segvol_core.prompts import Prompts
from segvol_core.session import Session
from segvol_core.zoom import Placement

Windows = Placement | Literal["masks"]
"""How windows were placed; ``"masks"`` for masks out of a folder, of which that is not known."""

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
        ``"lattice"``, ``"published"`` or ``"masks"``.
    dice, surface_dice, hausdorff95
        Against the label; see :mod:`segvol_core.evaluation.metrics`. The distance is None where
        the answer is empty, and both are where the size of a voxel is not known.
    baselines
        Dice of the trivial answers to the structure's box, whatever the prompt was.
    label_ml, answer_ml
        Volumes; None where the size of a voxel is not known, but 0 for nothing.
    seconds
        From the prompt to the final mask, of all clicks together. For the first prompt of a
        session this includes preparing the volume. None where it is not known.
    first_prompt
        Whether it was the first of its session, before anything was computed.
    cut_off
        Whether the structure reaches the edge of the volume, so that part of it may be missing.
    agreement
        Dice between the masks of lattice and published windows; None where only one was computed,
        or both are empty.
    dice_after_clicks
        Dice after each click, where several are made one after the other.
    name_rank
        Place of the right name among those that the network gives the mask, 1 for the first; 0 if
        it is not among them or there is no mask, None where it was not asked.
    """

    case: str
    structure: str
    kind: PromptKind
    windows: Windows
    dice: float
    surface_dice: float | None
    hausdorff95: float | None
    baselines: Baselines
    label_ml: float | None
    answer_ml: float | None
    seconds: float | None
    first_prompt: bool
    cut_off: bool
    agreement: float | None = None
    dice_after_clicks: tuple[float, ...] = ()
    name_rank: int | None = None


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
    for structure, mask in large_enough(case, structures, min_voxels):
        for kind in kinds:
            prompts = prompts_from_label(case.volume, mask, structure.name, kind)
            if prompts is not None:
                planned.append(PlannedPrompt(structure, kind, prompts))
    return planned


def large_enough(
    case: LabelledCase, structures: Sequence[Structure], min_voxels: int = MIN_VOXELS
) -> Iterator[tuple[Structure, Mask]]:
    """Structures of at least ``min_voxels`` voxels with their masks (k, j, i)."""
    for structure in structures:
        mask = case.mask(structure)
        if int(np.count_nonzero(mask)) >= max(min_voxels, 1):
            yield structure, mask


def score_prompts(
    model: SegVol,
    case: LabelledCase,
    planned: Sequence[PlannedPrompt],
    placements: Sequence[Placement] = ("lattice",),
    *,
    identify: bool = False,
) -> Iterator[Score]:
    """Answer prompts one after the other in one session per placement, and score each mask.

    Yields as many scores as there are prompts times placements. With ``identify``, the network is
    also asked to name the masks of prompts without a text.
    """
    sessions = {placement: _TimedSession(model, case, placement) for placement in placements}
    for prompt in planned:
        label = case.mask(prompt.structure)
        answers = {
            placement: _answer(session, case, label, prompt, identify=identify)
            for placement, session in sessions.items()
        }
        masks = [answer.mask for answer in answers.values()]
        agreement = None
        # Two empty masks agree on nothing that anyone could use.
        if len(masks) == 2 and any(mask.any() for mask in masks):
            agreement = dice(*masks)
        for placement, answer in answers.items():
            yield score_answer(
                case,
                label,
                answer,
                structure=prompt.structure.name,
                kind=prompt.kind,
                windows=placement,
                agreement=agreement,
            )


@dataclass(frozen=True, eq=False)
class Answer:
    """A mask to be scored, and how it came about.

    Attributes
    ----------
    mask
        (k, j, i) on the voxels of the case.
    seconds, first_prompt, dice_after_clicks, name_rank
        As in :class:`Score`.
    """

    mask: Mask
    seconds: float | None = None
    first_prompt: bool = False
    dice_after_clicks: tuple[float, ...] = ()
    name_rank: int | None = None


def score_answer(
    case: LabelledCase,
    label: Mask,
    answer: Answer,
    *,
    structure: str,
    kind: PromptKind,
    windows: Windows,
    agreement: float | None = None,
) -> Score:
    """Compare a mask with the label (k, j, i), which is not empty."""
    spacing = case.spacing_kji
    return Score(
        case=case.name,
        structure=structure,
        kind=kind,
        windows=windows,
        dice=dice(answer.mask, label),
        surface_dice=None if spacing is None else surface_dice(answer.mask, label, spacing),
        hausdorff95=None if spacing is None else hausdorff95(answer.mask, label, spacing),
        baselines=baselines(label),
        label_ml=_millilitres(label, case),
        answer_ml=_millilitres(answer.mask, case),
        seconds=answer.seconds,
        first_prompt=answer.first_prompt,
        cut_off=_is_cut_off(label),
        agreement=agreement,
        dice_after_clicks=answer.dice_after_clicks,
        name_rank=answer.name_rank,
    )


class _TimedSession:
    """A session that begins with the first prompt, and the seconds of its answers so far."""

    def __init__(self, model: SegVol, case: LabelledCase, placement: Placement) -> None:
        self._model = model
        self._case = case
        self._placement = placement
        self._session: Session | None = None
        self.seconds = 0.0

    @property
    def begun(self) -> bool:
        return self._session is not None

    def mask(self, prompts: Prompts) -> Mask:
        started = time.perf_counter()
        if self._session is None:
            self._session = Session(self._model, self._case.volume, windows=self._placement)
        mask = self._session.mask(prompts)
        self.seconds += time.perf_counter() - started
        return mask

    def name_rank(self, mask: Mask, structure: str) -> int:
        """Place of the structure's name among the names of a mask; 0 for none."""
        text = prompt_text(structure)
        if self._session is None or text is None or not mask.any():
            return 0
        names = [naming.organ.prompt for naming in self._session.identify(mask)]
        return names.index(text) + 1 if text in names else 0


def _answer(
    session: _TimedSession,
    case: LabelledCase,
    label: Mask,
    prompt: PlannedPrompt,
    *,
    identify: bool,
) -> Answer:
    begun, seconds = session.begun, session.seconds
    clicks = max(prompt.kind.clicks, 1)
    dices = []
    for mask in answers_to_clicks(session.mask, case.volume, label, prompt.prompts, clicks):
        dices.append(dice(mask, label))
    several = tuple(dices) if clicks > 1 else ()
    rank = None
    taken = session.seconds - seconds
    if identify and "text" not in prompt.kind.parts:
        rank = session.name_rank(mask, prompt.structure.name)
    return Answer(mask, taken, not begun, several, rank)


def _is_cut_off(mask: Mask) -> bool:
    low, high = bounding_box(mask)
    return bool((low == 0).any() or (high == [n - 1 for n in mask.shape]).any())


def _millilitres(mask: Mask, case: LabelledCase) -> float | None:
    voxels = int(np.count_nonzero(mask))
    if not case.in_millimetres:
        return None if voxels else 0.0
    return voxels * case.volume.voxel_ml
