"""Scores as CSV, a line for each answer, and back."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast, get_args

from segvol_core.evaluation.baselines import Baselines
from segvol_core.evaluation.label_maps import EvaluationError
from segvol_core.evaluation.label_prompts import PromptKind
from segvol_core.evaluation.markdown import figure
from segvol_core.evaluation.metrics import TOLERANCE_MM
from segvol_core.evaluation.scoring import Score, Windows
from segvol_core.zoom import Placement

_SURFACE = f"surface_dice_{TOLERANCE_MM:g}mm"
_WINDOWS = (*get_args(Placement), "masks")
_CLICKS = range(PromptKind.POINTS5.clicks)

_COLUMNS: dict[str, Callable[[Score], str]] = {
    "case": lambda score: score.case,
    "structure": lambda score: score.structure,
    "prompt": lambda score: score.kind.value,
    "windows": lambda score: score.windows,
    "dice": lambda score: figure(score.dice, 4),
    _SURFACE: lambda score: figure(score.surface_dice, 4, missing=""),
    "baseline_box": lambda score: figure(score.baselines.box, 4),
    "baseline_ellipsoid": lambda score: figure(score.baselines.ellipsoid, 4),
    "label_ml": lambda score: figure(score.label_ml, 3, missing=""),
    "answer_ml": lambda score: figure(score.answer_ml, 3, missing=""),
    "seconds": lambda score: figure(score.seconds, 3, missing=""),
    "first_prompt": lambda score: str(int(score.first_prompt)),
    "cut_off": lambda score: str(int(score.cut_off)),
    "dice_lattice_published": lambda score: figure(score.agreement, 4, missing=""),
    "hausdorff95_mm": lambda score: figure(score.hausdorff95, 3, missing=""),
    "name_rank": lambda score: "" if score.name_rank is None else str(score.name_rank),
}


def to_csv(scores: Sequence[Score]) -> str:
    """Every answer on a line, with a header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_COLUMNS, *(f"dice_click_{n + 1}" for n in _CLICKS)])
    for score in scores:
        clicks = [figure(value, 4) for value in score.dice_after_clicks]
        missing = [""] * (len(_CLICKS) - len(clicks))
        writer.writerow([*(column(score) for column in _COLUMNS.values()), *clicks, *missing])
    return text.getvalue()


def read_scores(path: Path) -> list[Score]:
    """Scores of an earlier run, out of the CSV that it wrote.

    Raises
    ------
    EvaluationError
        If there is no such file, it is no such CSV, or there is no answer in it, or one twice.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(f"{path} cannot be read as the CSV of a run.") from error
    try:
        scores = [_score(row) for row in csv.DictReader(lines)]
    except (KeyError, ValueError, TypeError, csv.Error) as error:
        raise EvaluationError(f"{path} is no CSV of `segvol evaluate`, or damaged.") from error
    if not scores:
        raise EvaluationError(f"{path} holds no answers.")
    keys = {(score.case, score.structure, score.kind, score.windows) for score in scores}
    if len(keys) < len(scores):
        raise EvaluationError(f"{path} holds the answer to some prompt twice.")
    return scores


def _score(row: dict[str, str]) -> Score:
    if None in row.values() or row["windows"] not in _WINDOWS:
        raise ValueError("the line is cut short, or says what no run says")
    clicks = (row.get(f"dice_click_{n + 1}", "") for n in _CLICKS)
    return Score(
        case=row["case"],
        structure=row["structure"],
        kind=PromptKind(row["prompt"]),
        windows=cast(Windows, row["windows"]),
        dice=float(row["dice"]),
        surface_dice=_optional(row[_SURFACE]),
        # Earlier versions wrote neither this distance nor Dice after each click, nor ranks.
        hausdorff95=_optional(row.get("hausdorff95_mm", "")),
        baselines=Baselines(float(row["baseline_box"]), float(row["baseline_ellipsoid"])),
        label_ml=_optional(row["label_ml"]),
        answer_ml=_optional(row["answer_ml"]),
        seconds=_optional(row["seconds"]),
        first_prompt=row["first_prompt"] == "1",
        cut_off=row["cut_off"] == "1",
        agreement=_optional(row["dice_lattice_published"]),
        dice_after_clicks=tuple(float(text) for text in clicks if text),
        name_rank=int(row["name_rank"]) if row.get("name_rank") else None,
    )


def _optional(text: str) -> float | None:
    return float(text) if text else None
