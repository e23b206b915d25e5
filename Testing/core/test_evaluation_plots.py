"""Plots show the scores: a box for each structure and kind, Dice after each click."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from made_scores import score

from segvol_core.errors import SegVolError
from segvol_core.evaluation.label_prompts import PromptKind
from segvol_core.evaluation.plots import CLICKS, FILES, box_plots, click_plot, plots
from segvol_core.evaluation.scoring import Score
from segvol_core.evaluation.summary import figures_of

BOXES = [
    score(structure, kind, value, case=f"case{case}")
    for kind, offset in ((PromptKind.BOX, 0.3), (PromptKind.TEXT, 0.0))
    for structure in ("liver", "$sp_leen^")
    if (kind, structure) != (PromptKind.TEXT, "$sp_leen^")
    for case, value in enumerate(np.linspace(0.1, 0.6, 5) + offset)
]

CLICKED = [
    score(structure, PromptKind.POINTS5, 0.9, case=f"case{case}", dice_after_clicks=dices)
    for structure, low in (("liver", 0.2), ("spleen", 0.4))
    for case in range(4)
    for dices in [tuple(np.linspace(low + case / 20, 0.8, 5).tolist())]
]


def dice_of(score: Score) -> float:
    return score.dice


def test_each_structure_has_a_box_for_each_kind_that_was_asked() -> None:
    (axes,) = box_plots(BOXES, "Dice", dice_of).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["liver", "$sp_leen^"]
    assert axes.get_title() == "Dice"
    assert axes.get_ylim() == (0, 1)
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["box", "text"]
    medians = {
        (round(float(np.mean(line.get_xdata()))), round(float(line.get_ydata()[0]), 3))
        for line in axes.lines
        if line.get_color() == "black"
    }
    assert medians == {(0, 0.65), (1, 0.65), (0, 0.35)}
    dots = [line for line in axes.lines if line.get_marker() == "."]
    assert [len(line.get_ydata()) for line in dots] == [5, 5, 5]


def test_answers_without_a_distance_are_left_out_of_its_boxes() -> None:
    scores = [score("liver", PromptKind.BOX, 0.0, hausdorff95=None), BOXES[0]]
    (axes,) = box_plots(scores, "mm", lambda each: each.hausdorff95).axes
    dots = [line for line in axes.lines if line.get_marker() == "."]
    assert [line.get_ydata().tolist() for line in dots] == [[4.0]]
    assert axes.get_ylim()[0] == 0
    assert axes.get_ylim()[1] > 4


def test_dice_rises_with_clicks_as_it_did() -> None:
    (axes,) = click_plot(CLICKED).axes
    assert axes.get_xlabel() == "Clicks"
    liver, spleen, mean = axes.lines
    assert mean.get_xdata().tolist() == [1, 2, 3, 4, 5]
    each = [figures_of(CLICKED, lambda s, n=n: s.dice_after_clicks[n]) for n in range(5)]
    assert mean.get_ydata() == pytest.approx([figures.mean() for figures in each])
    assert liver.get_ydata()[0] == pytest.approx(np.mean([0.2, 0.25, 0.3, 0.35]))
    assert spleen.get_ydata()[-1] == pytest.approx(0.8)
    (band,) = axes.collections
    interval = each[0].interval()
    assert interval is not None
    at_first = band.get_paths()[0].vertices
    edges = at_first[at_first[:, 0] == 1, 1]
    assert (edges.min(), edges.max()) == (
        pytest.approx(interval.low),
        pytest.approx(interval.high),
    )


def test_a_single_case_has_no_band_round_the_mean() -> None:
    (axes,) = click_plot([each for each in CLICKED if each.case == "case0"]).axes
    assert not axes.collections


def test_pictures_are_png_and_the_one_of_clicks_is_drawn_where_there_are_several() -> None:
    pictures = plots([*BOXES, *CLICKED])
    assert tuple(pictures) == FILES
    assert all(picture.startswith(b"\x89PNG") for picture in pictures.values())
    assert CLICKS not in plots(BOXES[:2])


def test_without_matplotlib_one_is_told_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(SegVolError, match=r"pip install 'segvol\[evaluate\]'"):
        plots(BOXES)
