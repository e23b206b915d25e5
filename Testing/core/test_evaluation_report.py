"""Reports say what was scored: CSV and back, tables, means, files that cannot be written."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest
from made_scores import score

from segvol_core.errors import SegVolError
from segvol_core.evaluation.baselines import Baselines
from segvol_core.evaluation.label_prompts import PromptKind
from segvol_core.evaluation.report import conclusions, to_markdown
from segvol_core.evaluation.report_files import check_folder, check_report
from segvol_core.evaluation.score_csv import read_scores, to_csv
from segvol_core.evaluation.summary import means_of_kinds, means_of_structures
from segvol_core.whole_files import write_whole

SCORES = [
    score("liver", PromptKind.BOX, 0.9, seconds=9.0, first_prompt=True),
    score("liver", PromptKind.BOX, 0.7, case="b", baselines=Baselines(0.7, 0.2)),
    score("a|b", PromptKind.BOX, 0.4, seconds=4.0, cut_off=True),
    score("liver", PromptKind.TEXT, 0.5),
]


def test_the_mean_counts_each_structure_once_and_leaves_first_prompts_out_of_seconds() -> None:
    liver, other, text = means_of_structures(SCORES)
    assert (liver.dice, liver.answers, liver.seconds) == (pytest.approx(0.8), 2, 2)
    assert liver.better == pytest.approx((0.6 + 0.7) / 2)
    assert (other.structure, text.kind) == ("a|b", PromptKind.TEXT)
    box, text = means_of_kinds(SCORES)
    assert (box.structure, box.answers) == (None, 3)
    assert box.dice == pytest.approx((0.8 + 0.4) / 2)
    assert box.better == pytest.approx((0.65 + 0.6) / 2)
    assert box.gain == pytest.approx(0.6 - 0.625)
    assert box.seconds == pytest.approx((2 + 4) / 2)
    assert text.agreement is None
    assert (box.hausdorff95, box.empty, text.empty) == (pytest.approx(4), 0, 0)


def test_distances_are_means_over_answers_that_are_not_empty_and_these_are_counted() -> None:
    (mean,) = means_of_kinds(
        [
            score("liver", PromptKind.BOX, 0.5, hausdorff95=3.0),
            score("liver", PromptKind.BOX, 0.0, case="b", hausdorff95=None, answer_ml=0.0),
        ]
    )
    assert (mean.hausdorff95, mean.empty, mean.answers) == (3, 1, 2)


def test_without_millimetres_there_are_no_tables_of_distances() -> None:
    measured = to_markdown(SCORES)
    without = to_markdown([replace(each, surface_dice=None, hausdorff95=None) for each in SCORES])
    assert "Surface Dice at 3 mm:" in measured
    assert "No distances" not in measured
    assert "Surface Dice at 3 mm:" not in without
    assert "No distances: the files do not say how large a voxel is." in without


def test_dice_after_each_click_is_a_table_of_means_over_structures() -> None:
    scores = [
        score("liver", PromptKind.POINTS5, 0.8, dice_after_clicks=(0.4, 0.5, 0.6, 0.7, 0.8)),
        score("spleen", PromptKind.POINTS5, 0.6, dice_after_clicks=(0.2, 0.3, 0.4, 0.5, 0.6)),
    ]
    lines = to_markdown(scores).splitlines()
    start = lines.index("Dice after each click (each structure counts the same):")
    assert cells(lines[start + 2])[2:] == ["1", "2", "3", "4", "5"]
    after = ["0.300", "0.400", "0.500", "0.600", "0.700"]
    assert cells(lines[start + 4]) == ["points5", "lattice", *after]


def test_intervals_stand_beside_means_where_there_are_several_cases() -> None:
    text = to_markdown(SCORES)
    lines = text.splitlines()
    start = lines.index("95% confidence intervals of Dice (bootstrap over 2 cases):")
    table = [cells(line) for line in lines[start + 2 : start + 7]]
    assert table[0] == ["structure", "box", "text"]
    assert table[2] == ["liver", "0.700 to 0.900", "-"]
    assert table[3] == ["a¦b", "-", "-"]
    assert table[4][0] == "**mean**"
    assert "no confidence intervals" not in text
    alone = to_markdown([SCORES[0]])
    assert "One case: no confidence intervals, which need several." in alone
    assert "95%" not in alone


def test_csv_has_a_line_for_each_answer() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(SCORES))))
    assert len(rows) == len(SCORES)
    assert rows[0] == {
        "case": "a",
        "structure": "liver",
        "prompt": "box",
        "windows": "lattice",
        "dice": "0.9000",
        "surface_dice_3mm": "0.4500",
        "baseline_box": "0.5000",
        "baseline_ellipsoid": "0.6000",
        "label_ml": "10.000",
        "answer_ml": "12.000",
        "seconds": "9.000",
        "first_prompt": "1",
        "cut_off": "0",
        "dice_lattice_published": "",
        "hausdorff95_mm": "4.000",
        "name_rank": "",
        **{f"dice_click_{click}": "" for click in range(1, 6)},
    }


def test_csv_gives_back_the_scores_it_was_written_from(tmp_path: Path) -> None:
    scores = [
        *SCORES,
        score("liver", PromptKind.POINTS5, 0.9, dice_after_clicks=(0.1, 0.25, 0.5, 0.75, 0.9)),
        score("liver", PromptKind.BOX, 0.0, windows="masks", seconds=None, hausdorff95=None),
        score("spleen", PromptKind.BOX, 0.5, windows="published", agreement=0.75, name_rank=2),
    ]
    write_whole(tmp_path / "run.csv", to_csv(scores))
    assert read_scores(tmp_path / "run.csv") == scores


def test_the_report_counts_how_often_the_right_name_came_first() -> None:
    ranks = (1, 1, 3, 0, 7)
    named = [
        score("liver", PromptKind.BOX, 0.9, case=f"case {index}", name_rank=rank)
        for index, rank in enumerate(ranks)
    ]
    text = to_markdown([*named, score("liver", PromptKind.TEXT, 0.9)])
    assert "Right name first, box: 2 of 5 masks (40.0%); among the first three: 3." in text
    assert "first, text" not in text


def test_a_run_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    rows = list(csv.reader(io.StringIO(to_csv(SCORES))))
    lines = [",".join(row[: rows[0].index("hausdorff95_mm")]) for row in rows]
    (tmp_path / "old.csv").write_text("\n".join(lines))
    old = read_scores(tmp_path / "old.csv")
    assert [each.dice for each in old] == [each.dice for each in SCORES]
    assert {each.hausdorff95 for each in old} == {None}
    assert to_markdown(old).count("Dice") > 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no answers"),
        (to_csv([]), "holds no answers"),
        ("case,structure\na,liver\n", "is no CSV of"),
        (to_csv(SCORES).replace("0.4500", "much"), "is no CSV of"),
        (to_csv(SCORES).replace("lattice", "diagonal"), "is no CSV of"),
        (to_csv(SCORES).replace("text", "scribble"), "is no CSV of"),
        (to_csv(SCORES)[:-90], "is no CSV of"),
        (to_csv([*SCORES, SCORES[0]]), "twice"),
    ],
)
def test_what_is_no_run_is_refused(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "run.csv").write_text(content)
    with pytest.raises(SegVolError, match=message):
        read_scores(tmp_path / "run.csv")


def test_a_run_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "run.csv").write_bytes(b"\xff\xfe\x00")
    for name in ("run.csv", "gone.csv"):
        with pytest.raises(SegVolError, match=f"{name} cannot be read"):
            read_scores(tmp_path / name)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.replace("\\|", "¦").strip("|").split("|")]


def test_markdown_has_a_line_for_each_structure_and_the_mean() -> None:
    lines = to_markdown(SCORES).splitlines()
    table = [cells(line) for line in lines if line.startswith("|")]
    assert table[0] == ["structure", "cases", "box filled", "ellipsoid", "box", "text"]
    assert table[2] == ["liver", "2", "0.600", "0.400", "0.800", "0.500"]
    assert table[3] == ["a¦b *", "1", "0.500", "0.600", "0.400", "-"]
    assert table[4] == ["**mean**", "", "0.550", "0.500", "0.600", "0.500"]
    assert {len(line) for line in lines[2:7]} == {len(lines[2])}
    assert "box - better baseline: 0.600 - 0.625 = -0.025." in lines
    assert "First prompt on a volume, its preparation included: 9.00 s." in lines


def test_two_placements_stand_side_by_side_with_their_agreement() -> None:
    both = [
        score("liver", PromptKind.BOX, value, windows=windows, agreement=0.99)
        for value, windows in ((0.9, "lattice"), (0.8, "published"))
    ]
    text = to_markdown(both)
    header = cells(text.splitlines()[2])
    assert header[-2:] == ["box (lattice)", "box (published)"]
    assert "Dice between lattice and published masks, box: 0.9900." in conclusions(both)
    assert "box - better baseline: 0.800 - 0.600 = +0.200 (published)." in conclusions(both)


def test_nothing_evaluated_is_said() -> None:
    assert to_markdown([]) == "Nothing was evaluated.\n"


def test_a_report_that_cannot_be_written_is_noticed_before_it_is_computed(tmp_path: Path) -> None:
    check_report(tmp_path / "new.csv")
    (tmp_path / "old.csv").touch()
    with pytest.raises(SegVolError, match="exists already"):
        check_report(tmp_path / "old.csv")
    check_report(tmp_path / "old.csv", overwrite=True)
    with pytest.raises(SegVolError, match="is a folder"):
        check_report(tmp_path)
    with pytest.raises(SegVolError, match="There is no folder"):
        check_report(tmp_path / "none" / "new.csv")


def test_a_folder_for_pictures_may_be_new_or_hold_other_files(tmp_path: Path) -> None:
    check_folder(tmp_path / "new", ["a.png"])
    assert not (tmp_path / "new").exists()
    (tmp_path / "b.png").touch()
    check_folder(tmp_path, ["a.png"])
    with pytest.raises(SegVolError, match=r"b\.png exists already"):
        check_folder(tmp_path, ["a.png", "b.png"])
    check_folder(tmp_path, ["b.png"], overwrite=True)
    with pytest.raises(SegVolError, match="is a file, not a folder"):
        check_folder(tmp_path / "b.png", ["a.png"], overwrite=True)
    with pytest.raises(SegVolError, match="There is no folder"):
        check_folder(tmp_path / "none" / "new", ["a.png"])


def test_a_report_that_the_disk_refuses_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "report.csv").mkdir()
    with pytest.raises(SegVolError, match="cannot be written: Is a directory"):
        write_whole(tmp_path / "report.csv", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["report.csv"]
    write_whole(tmp_path / "other.csv", "text")
    assert (tmp_path / "other.csv").read_text() == "text"
