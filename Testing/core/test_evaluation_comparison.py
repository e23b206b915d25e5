"""Means, intervals and differences between runs can be trusted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_scores import score
from scipy import stats

from segvol_core.errors import SegVolError
from segvol_core.evaluation.comparison import (
    asked,
    check_common,
    comparison_markdown,
    differences,
)
from segvol_core.evaluation.intervals import Figures
from segvol_core.evaluation.label_prompts import PromptKind
from segvol_core.evaluation.score_csv import read_scores, to_csv
from segvol_core.evaluation.scoring import Score

# Intervals


def test_each_structure_counts_the_same_however_many_cases_show_it() -> None:
    answers = [("a", "liver", 1.0), ("b", "liver", 0.5), ("a", "spleen", 0.25), ("b", "x", None)]
    figures = Figures(answers)
    assert figures.mean() == (0.75 + 0.25) / 2
    assert (figures.count, sorted(figures.values)) == (3, [0.25, 0.5, 1.0])
    assert np.isnan(Figures([]).mean())


def test_no_interval_is_made_up_for_a_single_case() -> None:
    assert Figures([("a", "liver", 0.5), ("a", "spleen", 0.9)]).interval() is None
    assert Figures([]).interval() is None


def test_the_interval_of_cases_with_one_structure_is_that_of_the_mean() -> None:
    values = np.random.default_rng(1).normal(0.7, 0.1, 60)
    figures = Figures((str(n), "liver", value) for n, value in enumerate(values))
    interval = figures.interval()
    assert interval is not None
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert interval.low == pytest.approx(values.mean() - half, abs=half / 5)
    assert interval.high == pytest.approx(values.mean() + half, abs=half / 5)
    assert figures.interval() == interval


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(60):
        values = rng.normal(0.5, 0.2, 25)
        interval = Figures((str(n), "liver", v) for n, v in enumerate(values)).interval()
        assert interval is not None
        covered += interval.low <= 0.5 <= interval.high
    assert 51 <= covered <= 60


def test_whole_cases_are_drawn_since_the_answers_of_one_belong_together() -> None:
    # Ten structures that rise and fall with the case say no more of other cases than one does.
    of_case = np.random.default_rng(3).normal(0.5, 0.1, 12)
    one = Figures((str(n), "s0", value) for n, value in enumerate(of_case)).interval()
    ten = Figures(
        (str(n), f"s{structure}", value)
        for n, value in enumerate(of_case)
        for structure in range(10)
    ).interval()
    assert one is not None
    assert ten is not None
    assert ten.low == pytest.approx(one.low)
    assert ten.high == pytest.approx(one.high)


def test_a_structure_that_few_cases_show_does_not_spoil_the_interval() -> None:
    answers = [(str(n), "liver", 0.5) for n in range(6)]
    interval = Figures([*answers, ("0", "spleen", 0.9)]).interval()
    assert interval is not None
    assert (interval.low, interval.high) == (pytest.approx(0.5), pytest.approx(0.7))


# Comparison


def run(change: float = 0.0, **others: object) -> list[Score]:
    """Two structures of twelve cases; the change has the same sign for all of them."""
    rng = np.random.default_rng(4)
    return [
        score(
            structure,
            PromptKind.BOX,
            round(float(rng.uniform(0.3, 0.7)) + change * (1 + case / 12), 4),
            case=f"case{case}",
            **others,
        )
        for case in range(12)
        for structure in ("liver", "spleen")
    ]


def test_a_run_that_is_better_everywhere_is_found_better() -> None:
    dice, surface, distance = differences(run(), run(0.02))
    changes = [0.02 * (1 + case / 12) for case in range(12) for _ in range(2)]
    assert (dice.prompt, dice.metric, dice.answers) == ("box", "Dice", 24)
    assert dice.difference == pytest.approx(np.mean(changes), abs=1e-4)
    assert dice.after - dice.before == pytest.approx(dice.difference)
    assert dice.interval is not None
    assert 0.02 < dice.interval.low < dice.difference < dice.interval.high < 0.04
    assert dice.p < 1e-4
    assert surface.difference == pytest.approx(dice.difference / 2, abs=1e-4)
    assert (distance.difference, distance.p) == (0, 1)


def test_p_is_that_of_the_signed_rank_test_of_the_pairs() -> None:
    earlier, later = run(), run()
    moved = np.random.default_rng(5).normal(0.01, 0.05, len(later)).round(4)
    later = [
        score(each.structure, each.kind, round(each.dice + change, 4), case=each.case)
        for each, change in zip(later, moved, strict=True)
    ]
    dice, *_ = differences(earlier, later)
    assert dice.p == pytest.approx(stats.wilcoxon(moved).pvalue)
    back, *_ = differences(later, earlier)
    assert back.difference == pytest.approx(-dice.difference)
    assert back.p == pytest.approx(dice.p)


def test_a_run_equals_itself_read_from_its_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    later = [
        score("liver", PromptKind.BOX, rng.uniform(), case=str(n), hausdorff95=rng.uniform())
        for n in range(9)
    ]
    (tmp_path / "run.csv").write_text(to_csv(later))
    for each in differences(read_scores(tmp_path / "run.csv"), later):
        assert (each.difference, each.p) == (0, 1)


def test_only_answers_that_both_have_are_compared() -> None:
    earlier = [
        score("liver", PromptKind.BOX, 0.5),
        score("spleen", PromptKind.BOX, 0.1),
        score("liver", PromptKind.TEXT, 0.1),
        score("liver", PromptKind.BOX, 0.5, case="b", hausdorff95=None),
    ]
    later = [
        score("liver", PromptKind.BOX, 0.75),
        score("aorta", PromptKind.BOX, 0.9),
        score("liver", PromptKind.BOX, 0.25, case="b"),
    ]
    dice, surface, distance = differences(earlier, later)
    assert (dice.answers, dice.before, dice.after) == (2, 0.5, 0.5)
    assert (surface.answers, distance.answers) == (2, 1)


def test_masks_of_another_program_are_compared_with_ours_and_windows_if_there_are_several() -> None:
    published = run(windows="published")
    both = [*run(), *published]
    peer = run(0.1, windows="masks", seconds=None)
    assert {each.prompt for each in differences(peer, published)} == {"box"}
    assert [each.prompt for each in differences(both, both)] == [
        *["box (lattice)"] * 3,
        *["box (published)"] * 3,
    ]
    with pytest.raises(SegVolError, match="nothing in common"):
        differences(both, peer)


def test_runs_with_nothing_in_common_are_not_compared() -> None:
    earlier, later = run(), [score("liver", PromptKind.TEXT, 0.5, case="case1")]
    for compare in (
        lambda: differences(earlier, later),
        lambda: check_common(earlier, asked(later)),
    ):
        with pytest.raises(SegVolError, match="nothing in common"):
            compare()
    assert comparison_markdown(earlier, later, "old.csv").startswith("The two runs have nothing")
    check_common(earlier, asked(run()[:1]))


def test_the_table_says_which_run_is_which_and_how_sure_it_is() -> None:
    text = comparison_markdown(run(), run(0.02), "old.csv")
    assert text.startswith("A, old.csv, and B, this run, ")
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    cells = [cell.strip() for cell in rows[2]]
    assert cells[:3] == ["box", "Dice", "24"]
    assert cells[5] == "+0.029"
    assert cells[6].startswith("+0.0")
    assert cells[7] == "<0.0001"
    assert "Wilcoxon signed-rank test" in text
    alone = comparison_markdown(run()[:2], run(0.02)[:2], "old.csv")
    assert alone.splitlines()[4].split("|")[7].strip() == "-"
