"""Scores as Markdown: tables with a line for each structure, means, and what follows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from segvol_core.evaluation.intervals import LEVEL, Interval
from segvol_core.evaluation.markdown import figure, table
from segvol_core.evaluation.metrics import TOLERANCE_MM
from segvol_core.evaluation.scoring import Score
from segvol_core.evaluation.summary import (
    Mean,
    figures_of,
    first_prompt_seconds,
    means_of_kinds,
    means_of_structures,
)


def to_markdown(scores: Sequence[Score]) -> str:
    """Tables per structure and kind of prompt, the means, and their confidence intervals."""
    if not scores:
        return "Nothing was evaluated.\n"
    parts = [
        "Dice (mean over cases; the first two columns are the trivial answers to the exact box):",
        _structure_table(scores, lambda mean: mean.dice, baselines=True),
        *_distance_parts(scores),
        "Means (each structure counts the same; seconds without first prompts):",
        _mean_table(scores),
        *_click_parts(scores),
        *_interval_parts(scores),
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
    for kind in dict.fromkeys(score.kind for score in scores):
        ranks = [s.name_rank for s in scores if s.kind is kind and s.name_rank is not None]
        if ranks:
            first_three = sum(0 < rank <= 3 for rank in ranks)
            sentences.append(
                f"Right name first, {kind.value}: {ranks.count(1)} of {len(ranks)} masks "
                f"({ranks.count(1) / len(ranks):.1%}); among the first three: {first_three}."
            )
    first = first_prompt_seconds(scores)
    if first is not None:
        sentences.append(f"First prompt on a volume, its preparation included: {first:.2f} s.")
    return sentences


def _distance_parts(scores: Sequence[Score]) -> list[str]:
    if all(score.surface_dice is None for score in scores):
        return ["No distances: the files do not say how large a voxel is."]
    return [
        f"Surface Dice at {TOLERANCE_MM:g} mm:",
        _structure_table(scores, lambda mean: mean.surface_dice, baselines=False),
        "95th percentile Hausdorff distance in mm (without empty answers):",
        _structure_table(scores, lambda mean: mean.hausdorff95, baselines=False),
    ]


def _structure_table(
    scores: Sequence[Score], of_mean: Callable[[Mean], float | None], *, baselines: bool
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
            row += [figure(some.box), figure(some.ellipsoid)]
        row += [figure(of_mean(m)) if (m := by_column.get(c)) else "-" for c in columns]
        rows.append(row)
    note = "\n\n\\* cut off by the edge of a volume" if cut_off else ""
    return table(header, rows) + note


def _mean_table(scores: Sequence[Score]) -> str:
    header = ["prompt", "windows", "answers", "Dice", "surface Dice", "box filled", "ellipsoid"]
    header += ["better baseline", "gain", "seconds", "HD95 mm", "empty"]
    rows = [
        [
            mean.kind.value,
            mean.windows,
            str(mean.answers),
            *map(figure, (mean.dice, mean.surface_dice, mean.box, mean.ellipsoid, mean.better)),
            f"{mean.gain:+.3f}",
            figure(mean.seconds, 2),
            figure(mean.hausdorff95, 2),
            str(mean.empty),
        ]
        for mean in means_of_kinds(scores)
    ]
    return table(header, rows)


def _click_parts(scores: Sequence[Score]) -> list[str]:
    means = [mean for mean in means_of_kinds(scores) if mean.dice_after_clicks]
    if not means:
        return []
    header = ["clicks one after the other", "windows"]
    header += [str(n + 1) for n in range(len(means[0].dice_after_clicks))]
    rows = [[m.kind.value, m.windows, *map(figure, m.dice_after_clicks)] for m in means]
    return ["Dice after each click (each structure counts the same):", table(header, rows)]


def _interval_parts(scores: Sequence[Score]) -> list[str]:
    cases = len({score.case for score in scores})
    if cases < 2:
        return ["One case: no confidence intervals, which need several."]
    return [
        f"{LEVEL:.0%} confidence intervals of Dice (bootstrap over {cases} cases):",
        _structure_intervals(scores),
        f"{LEVEL:.0%} confidence intervals of the means:",
        _mean_intervals(scores),
    ]


def _structure_intervals(scores: Sequence[Score]) -> str:
    overall = means_of_kinds(scores)
    rows = []
    for structure in [*dict.fromkeys(score.structure for score in scores), None]:
        row = ["**mean**" if structure is None else structure]
        for mean in overall:
            chosen = [score for score in _of(mean, scores) if structure in (None, score.structure)]
            row.append(_written(figures_of(chosen, lambda score: score.dice).interval()))
        rows.append(row)
    return table(["structure", *(_column_name(mean, scores) for mean in overall)], rows)


def _mean_intervals(scores: Sequence[Score]) -> str:
    rows = []
    for mean in means_of_kinds(scores):
        chosen = _of(mean, scores)
        rows.append(
            [
                mean.kind.value,
                mean.windows,
                _written(figures_of(chosen, lambda score: score.dice).interval()),
                _written(figures_of(chosen, lambda score: score.surface_dice).interval()),
                _written(figures_of(chosen, lambda score: score.hausdorff95).interval(), 2),
            ]
        )
    return table(["prompt", "windows", "Dice", "surface Dice", "HD95 mm"], rows)


def _of(mean: Mean, scores: Iterable[Score]) -> list[Score]:
    """The answers of which a mean is taken, but for its structure."""
    return [s for s in scores if (s.kind, s.windows) == (mean.kind, mean.windows)]


def _written(interval: Interval | None, digits: int = 3) -> str:
    if interval is None:
        return "-"
    return f"{figure(interval.low, digits)} to {figure(interval.high, digits)}"


def _column_name(mean: Mean, scores: Sequence[Score]) -> str:
    return mean.kind.value + _placed(mean, scores)


def _placed(mean: Mean, scores: Sequence[Score]) -> str:
    """How windows were placed, where there is more than one way."""
    return f" ({mean.windows})" if len({score.windows for score in scores}) > 1 else ""
