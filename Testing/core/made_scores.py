"""Scores as if something had been evaluated."""

from __future__ import annotations

from segvol_core.evaluation.baselines import Baselines
from segvol_core.evaluation.label_prompts import PromptKind
from segvol_core.evaluation.scoring import Score


def score(structure: str, kind: PromptKind, value: float, **others: object) -> Score:
    """Score with a Dice of this value, and whatever else differs from the rest."""
    fields = {
        "case": "a",
        "windows": "lattice",
        "surface_dice": value / 2,
        "hausdorff95": 4.0,
        "baselines": Baselines(0.5, 0.6),
        "label_ml": 10.0,
        "answer_ml": 12.0,
        "seconds": 2.0,
        "first_prompt": False,
        "cut_off": False,
    }
    return Score(structure=structure, kind=kind, dice=value, **{**fields, **others})
