"""Scores as CSV, one line an answer, and as Markdown, one line a structure."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from segvol_core.errors import SegVolError
from segvol_core.evaluation.metrics import TOLERANCE_MM
from segvol_core.evaluation.scoring import Score
from segvol_core.evaluation.summary import (
    Mean,
    first_prompt_seconds,
    means_of_kinds,
    means_of_structures,
)

_SURFACE = f"surface_dice_{TOLERANCE_MM:g}mm"

_COLUMNS: dict[str, Callable[[Score], str]] = {
    "case": lambda score: score.case,
    "structure": lambda score: score.structure,
    "prompt": lambda score: score.kind.value,
    "windows": lambda score: score.windows,
    "dice": lambda score: f"{score.dice:.4f}",
    _SURFACE: lambda score: f"{score.surface_dice:.4f}",
    "baseline_box": lambda score: f"{score.baselines.box:.4f}",
    "baseline_ellipsoid": lambda score: f"{score.baselines.ellipsoid:.4f}",
    "label_ml": lambda score: f"{score.label_ml:.3f}",
    "answer_ml": lambda score: f"{score.answer_ml:.3f}",
    "seconds": lambda score: f"{score.seconds:.3f}",
    "first_prompt": lambda score: str(int(score.first_prompt)),
    "cut_off": lambda score: str(int(score.cut_off)),
    "dice_lattice_published": lambda score: _figure(score.agreement, 4, missing=""),
}


def to_csv(scores: Sequence[Score]) -> str:
    """Every answer on a line, with a header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for score in scores:
        writer.writerow([column(score) for column in _COLUMNS.values()])
    return text.getvalue()


def to_markdown(scores: Sequence[Score]) -> str:
    """Tables of Dice and surface Dice per structure and kind of prompt, and the means."""
    if not scores:
        return "Nothing was evaluated.\n"
    parts = [
        "Dice (mean over cases; the first two columns are the trivial answers to the exact box):",
        _structure_table(scores, lambda mean: mean.dice, baselines=True),
        f"Surface Dice at {TOLERANCE_MM:g} mm:",
        _structure_table(scores, lambda mean: mean.surface_dice, baselines=False),
        "Means (each structure counts the same; seconds without first prompts):",
        _mean_table(scores),
        *conclusions(scores),
    ]
    return "\n\n".join(parts) + "\n"


def conclusions(scores: Sequence[Score]) -> list[str]:
    """Sentences on what the project promises: the box's gain, agreement, seconds."""
    sentences = [
        f"{mean.kind.value} - better baseline: {mean.dice:.3f} - {mean.better:.3f} = "
        f"{mean.gain:+.3f}{_placed(mean, scores)}."
        for mean in means_of_kinds(scores)
        if "box" in mean.kind.parts
    ]
    sentences += [
        f"Dice between lattice and published masks, {mean.kind.value}: {mean.agreement:.4f}."
        for mean in means_of_kinds(scores)
        if mean.agreement is not None and mean.windows == "lattice"
    ]
    first = first_prompt_seconds(scores)
    if first is not None:
        sentences.append(f"First prompt on a volume, its preparation included: {first:.2f} s.")
    return sentences


def check_report(path: Path, *, overwrite: bool = False) -> None:
    """Make sure that a report can be written there, before minutes are spent on it.

    Raises
    ------
    SegVolError
        If the folder is missing or not writable, the path is a folder, or there is a file already
        that is not to be overwritten.
    """
    if path.is_dir():
        raise SegVolError(f"{path} is a folder, not a file.")
    if path.exists() and not overwrite:
        raise SegVolError(f"{path} exists already; --overwrite replaces it.")
    if not path.absolute().parent.is_dir():
        raise SegVolError(f"There is no folder {path.absolute().parent}.")
    if not os.access(path.absolute().parent, os.W_OK):
        raise SegVolError(f"The folder {path.absolute().parent} cannot be written to.")


def write_report(path: Path, text: str) -> None:
    """Write a report, whole or not at all.

    Raises
    ------
    SegVolError
        If the disk refuses; a file that was there stays as it is then.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        raise SegVolError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        unfinished.unlink(missing_ok=True)


def _structure_table(
    scores: Sequence[Score], figure: Callable[[Mean], float], *, baselines: bool
) -> str:
    means = means_of_structures(scores)
    overall = means_of_kinds(scores)
    columns = list(dict.fromkeys((mean.kind, mean.windows) for mean in overall))
    structures = list(dict.fromkeys(mean.structure for mean in means))
    cut_off = {score.structure for score in scores if score.cut_off}
    header = ["structure", "cases"]
    if baselines:
        header += ["box filled", "ellipsoid"]
    header += [_column_name(mean, scores) for mean in overall]

    rows = []
    for structure in [*structures, None]:
        of_structure = [m for m in (means if structure else overall) if m.structure == structure]
        by_column = {(mean.kind, mean.windows): mean for mean in of_structure}
        some = max(of_structure, key=lambda mean: mean.answers)
        row = [f"{structure}{' *' if structure in cut_off else ''}", str(some.answers)]
        if structure is None:
            row = ["**mean**", ""]
        if baselines:
            row += [_figure(some.box), _figure(some.ellipsoid)]
        row += [_figure(figure(m)) if (m := by_column.get(c)) else "-" for c in columns]
        rows.append(row)
    note = "\n\n\\* cut off by the edge of a volume" if cut_off else ""
    return _table(header, rows) + note


def _mean_table(scores: Sequence[Score]) -> str:
    header = ["prompt", "windows", "answers", "Dice", "surface Dice", "box filled", "ellipsoid"]
    header += ["better baseline", "gain", "seconds"]
    rows = [
        [
            mean.kind.value,
            mean.windows,
            str(mean.answers),
            *map(_figure, (mean.dice, mean.surface_dice, mean.box, mean.ellipsoid, mean.better)),
            f"{mean.gain:+.3f}",
            _figure(mean.seconds, 2),
        ]
        for mean in means_of_kinds(scores)
    ]
    return _table(header, rows)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown table with cells of equal width, so that it can be read as it is."""
    lines = [[cell.replace("|", "\\|") for cell in line] for line in (header, *rows)]
    widths = [max(3, *(len(cell) for cell in column)) for column in zip(*lines, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    aligned = [
        [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]
        for line in lines
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in (aligned[0], rule, *aligned[1:]))


def _column_name(mean: Mean, scores: Sequence[Score]) -> str:
    return mean.kind.value + _placed(mean, scores)


def _placed(mean: Mean, scores: Sequence[Score]) -> str:
    """How windows were placed, where there is more than one way."""
    return f" ({mean.windows})" if len({score.windows for score in scores}) > 1 else ""


def _figure(value: float | None, digits: int = 3, missing: str = "-") -> str:
    return missing if value is None else f"{value:.{digits}f}"
