"""Pictures of scores: box plots per structure, and Dice against the number of clicks."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from segvol_core.errors import SegVolError
from segvol_core.evaluation.intervals import LEVEL
from segvol_core.evaluation.label_prompts import PromptKind
from segvol_core.evaluation.metrics import TOLERANCE_MM
from segvol_core.evaluation.scoring import Score, Windows
from segvol_core.evaluation.summary import figures_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CLICKS = "dice_after_clicks.png"
FILES = ("dice.png", "surface_dice.png", "hausdorff95.png", CLICKS)
"""Names of the pictures; the last is drawn only if several clicks were made."""

_METRICS: dict[str, tuple[str, Callable[[Score], float | None]]] = {
    "dice.png": ("Dice", lambda score: score.dice),
    "surface_dice.png": (f"Surface Dice at {TOLERANCE_MM:g} mm", lambda score: score.surface_dice),
    "hausdorff95.png": ("Hausdorff distance, 95th percentile, mm", lambda s: s.hausdorff95),
}

_DOTS_PER_INCH = 100
_INCHES_PER_BOX = 0.16
_BOX_WIDTH = 0.8  # of the room for a box

Column = tuple[PromptKind, Windows]


def check_matplotlib() -> None:
    """Make sure that plots can be drawn, before minutes are spent on what is in them.

    Raises
    ------
    SegVolError
        If matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401, ICN001, PLC0415
    except ImportError as error:
        raise SegVolError(
            "Plots need matplotlib, which is not installed: pip install 'segvol[evaluate]'."
        ) from error


def plots(scores: Sequence[Score]) -> dict[str, bytes]:
    """PNG pictures by their file names.

    Raises
    ------
    SegVolError
        If matplotlib is not installed.
    """
    check_matplotlib()
    figures = {name: box_plots(scores, *metric) for name, metric in _METRICS.items()}
    if any(score.dice_after_clicks for score in scores):
        figures[CLICKS] = click_plot(scores)
    return {name: _png(figure) for name, figure in figures.items()}


def box_plots(
    scores: Sequence[Score], title: str, metric: Callable[[Score], float | None]
) -> Figure:
    """For each structure a box per kind of prompt, over cases, with every answer as a dot."""
    structures = list(dict.fromkeys(score.structure for score in scores))
    columns = list(dict.fromkeys((score.kind, score.windows) for score in scores))
    width = max(5.0, 1.5 + _INCHES_PER_BOX * len(structures) * (len(columns) + 1))
    figure, axes = _empty_plot((width, 5))
    for number, column in enumerate(columns):
        chosen = [score for score in scores if (score.kind, score.windows) == column]
        _draw_boxes(axes, structures, chosen, metric, (number, len(columns)))
    axes.set_xlim(-0.5, len(structures) - 0.5)
    axes.set_xticks(range(len(structures)), structures, rotation=60, ha="right", fontsize=8)
    for label in axes.get_xticklabels():
        # Names come from files; a dollar sign is not to start a formula.
        label.set_parse_math(False)
    handles = [
        axes.plot([], [], "s", color=f"C{number}", label=_name(column, columns))[0]
        for number, column in enumerate(columns)
    ]
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    axes.set_title(title)
    # Dice ends at 1, a distance nowhere.
    axes.set_ylim(0, max(1.0, axes.get_ylim()[1]))
    return figure


def click_plot(scores: Sequence[Score]) -> Figure:
    """Dice after each click: a thin line per structure, and their mean with its interval."""
    several = [score for score in scores if score.dice_after_clicks]
    figure, axes = _empty_plot((6, 4.5))
    columns = list(dict.fromkeys((score.kind, score.windows) for score in several))
    for number, column in enumerate(columns):
        chosen = [score for score in several if (score.kind, score.windows) == column]
        clicks = range(1, len(chosen[0].dice_after_clicks) + 1)
        for structure in dict.fromkeys(score.structure for score in chosen):
            of_structure = [s.dice_after_clicks for s in chosen if s.structure == structure]
            axes.plot(clicks, np.mean(of_structure, axis=0), color=f"C{number}", lw=0.5, alpha=0.5)
        figures = [figures_of(chosen, _after(click)) for click in clicks]
        means = [each.mean() for each in figures]
        axes.plot(
            clicks, means, "o-", color=f"C{number}", lw=2.5, label=f"mean, {_name(column, columns)}"
        )
        intervals = [each.interval() for each in figures]
        known = [interval for interval in intervals if interval is not None]
        if len(known) == len(intervals):
            low, high = [each.low for each in known], [each.high for each in known]
            label = f"its {LEVEL:.0%} interval"
            axes.fill_between(clicks, low, high, color=f"C{number}", alpha=0.15, lw=0, label=label)
        axes.set_xticks(clicks)
    axes.set_xlabel("Clicks")
    axes.set_ylabel("Dice")
    axes.set_ylim(0, 1)
    axes.legend(frameon=False, loc="lower right")
    return figure


def _draw_boxes(
    axes: Axes,
    structures: Sequence[str],
    scores: Sequence[Score],
    metric: Callable[[Score], float | None],
    column: tuple[int, int],
) -> None:
    """Draw the boxes of one column, the n-th of so many."""
    number, columns = column
    room = 1 / (columns + 1)
    for place, structure in enumerate(structures):
        values = [metric(score) for score in scores if score.structure == structure]
        known = [value for value in values if value is not None]
        if not known:
            continue
        x = place + (number - (columns - 1) / 2) * room
        colour = f"C{number}"
        line = {"color": colour}
        axes.boxplot(
            [known],
            positions=[x],
            widths=room * _BOX_WIDTH,
            showfliers=False,
            manage_ticks=False,
            boxprops=line,
            whiskerprops=line,
            capprops=line,
            medianprops={"color": "black"},
        )
        axes.plot([x] * len(known), known, ".", color=colour, markersize=4, alpha=0.7)


def _after(click: int) -> Callable[[Score], float | None]:
    return lambda score: score.dice_after_clicks[click - 1]


def _name(column: Column, columns: Sequence[Column]) -> str:
    kind, windows = column
    return kind.value + (f" ({windows})" if len({each for _, each in columns}) > 1 else "")


def _empty_plot(size_inches: tuple[float, float]) -> tuple[Figure, Axes]:
    # Only a picture needs it, and importing it takes a second.
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=size_inches, dpi=_DOTS_PER_INCH)
    axes = figure.add_subplot()
    axes.grid(axis="y", alpha=0.3)
    return figure, axes


def _png(figure: Figure) -> bytes:
    picture = io.BytesIO()
    figure.savefig(picture, format="png", bbox_inches="tight")
    return picture.getvalue()
