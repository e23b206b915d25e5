"""`segvol evaluate`: the tables that are printed, the files that are written, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import assert_refused
from labelled_folder import LABEL_MAP, WEIGHTS, Evaluate, evaluate_with, read_csv, write_cases

from segvol_core.cli import evaluating, evaluation_plan
from segvol_core.evaluation.cases import single_case
from segvol_core.model.segvol import SegVol


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory, small: SegVol) -> Path:
    return write_cases(tmp_path_factory.mktemp("cases"), small)


@pytest.fixture
def evaluate(cases: Path) -> Evaluate:
    return evaluate_with(cases / WEIGHTS)


def test_every_structure_of_every_case_is_scored_for_every_kind_and_placement(
    evaluate: Evaluate, cases: Path, tmp_path: Path
) -> None:
    result = evaluate(
        cases, "--split", "validation", "--kinds", "all", "--windows", "both",
        "-o", tmp_path / "scores.csv", "--markdown", tmp_path / "scores.md",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    rows = read_csv(tmp_path / "scores.csv")
    with_text = {"text", "text+box", "text+point"}
    expected = {
        (case, structure, kind, windows)
        for case in ("first", "second")
        for structure in LABEL_MAP
        for kind in ("point", "points5", "box", "box+point", *with_text)
        for windows in ("lattice", "published")
        if not (structure == "ptv56" and kind in with_text)
    }
    assert len(rows) == len(expected)
    assert {(r["case"], r["structure"], r["prompt"], r["windows"]) for r in rows} == expected
    assert sum(int(row["first_prompt"]) for row in rows) == 2 * 2
    assert all(0 <= float(row["dice"]) <= 1 and row["dice_lattice_published"] for row in rows)
    assert {row["structure"] for row in rows if row["cut_off"] == "1"} == {"LeftParotid"}
    assert {row["baseline_box"] for row in rows} == {"1.0000"}
    for row in rows:
        clicks = [row[f"dice_click_{click}"] for click in range(1, 6)]
        assert all(clicks) if row["prompt"] == "points5" else not any(clicks)
        assert (clicks[-1] or row["dice"]) == row["dice"]
        assert bool(row["hausdorff95_mm"]) == (float(row["answer_ml"]) > 0)
    for table in ("95th percentile Hausdorff", "Dice after each click", "95% confidence interv"):
        assert f"\n{table}" in result.stdout
    assert (tmp_path / "scores.md").read_text() == result.stdout
    assert "Dice between lattice and published masks, box: " in result.stdout
    assert result.stderr.strip() == (
        "Warning: The vocabulary does not know ptv56: no prompts with text for them."
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scores.csv", "scores.md"]


def test_organs_groups_and_limit_choose_what_is_evaluated(
    evaluate: Evaluate, cases: Path, tmp_path: Path
) -> None:
    result = evaluate(
        cases, "--limit", "1", "--kinds", "point", "--organs", "left parotid, brain*",
        "--group", "neck=LeftParotid,ptv56", "-o", tmp_path / "scores.csv",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    rows = read_csv(tmp_path / "scores.csv")
    assert [(row["case"], row["structure"]) for row in rows] == [
        ("first", "Brainstem"),
        ("first", "LeftParotid"),
        ("first", "neck"),
    ]
    millilitres = [float(row["label_ml"]) for row in rows]
    assert millilitres[2] == pytest.approx(millilitres[1] + 3 * 8 * 10 * 12 / 1000)


def test_a_single_case_is_three_files(evaluate: Evaluate, cases: Path) -> None:
    result = evaluate(
        "--image", cases / "first_ct.nii.gz", "--labels", cases / "first_labels.nii.gz",
        "--label-map", cases / "names.csv", "--kinds", "box",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "| Brainstem" in result.stdout
    assert "box - better baseline: " in result.stdout


def test_the_demo_evaluates_the_structures_by_which_the_starter_is_judged(
    evaluate: Evaluate, cases: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    names = tmp_path / "names.csv"
    names.write_text("structure,id\nvertebrae_L1,1\nkidney_left,2\ncolon,3\n")
    case = single_case(cases / "first_ct.nii.gz", cases / "first_labels.nii.gz", names)
    monkeypatch.setattr(evaluation_plan, "fetch_case", lambda _folder: case)
    monkeypatch.setattr(evaluation_plan, "DEMO_STRUCTURES", ("kidney_*", "vertebrae_*"))
    result = evaluate("--demo", "--kinds", "point")
    assert result.exit_code == 0, result.output
    table = result.stdout.split("\n\n")[1].splitlines()
    names = [line.split("|")[1].strip(" *") for line in table[2:]]
    assert names == ["vertebrae_L1", "kidney_left", "mean"]


def test_what_was_scored_before_an_error_is_not_lost(
    evaluate: Evaluate, cases: Path, tmp_path: Path
) -> None:
    labels = cases / "second_labels.nii.gz"
    whole = labels.read_bytes()
    labels.write_bytes(whole[:200])
    try:
        result = evaluate(cases, "--kinds", "point", "-o", tmp_path / "scores.csv")
    finally:
        labels.write_bytes(whole)
    assert result.exit_code == 2
    assert "Error: second: second_labels.nii.gz is truncated" in result.stderr
    assert {row["case"] for row in read_csv(tmp_path / "scores.csv")} == {"first"}
    assert "| Brainstem" in result.stdout


def test_what_cannot_be_evaluated_is_refused_in_one_line(
    evaluate: Evaluate, cases: Path, tmp_path: Path
) -> None:
    (tmp_path / "old.csv").write_text("mine")
    refused = [
        ([], "Say what to evaluate"),
        ([cases, "--demo"], "Say what to evaluate"),
        (["--image", cases / "first_ct.nii.gz"], "needs --image, --labels and --label-map"),
        (["--demo", "--split", "train"], "no folder is given"),
        ([tmp_path], "has no layout that is known: no index.json"),
        ([cases, "--split", "test"], "no labelled case of the split “test”"),
        ([cases, "--kinds", "scribble"], "“scribble” is no kind of prompt"),
        ([cases, "--organs", "liver"], "No case is labelled for liver"),
        ([cases, "--group", "neck"], "“neck” is no group"),
        ([cases, "--group", "neck=liver"], "No case is labelled for liver"),
        ([cases, "-o", tmp_path / "old.csv"], "exists already; --overwrite replaces it"),
        ([cases, "-o", tmp_path / "none" / "new.csv"], "There is no folder"),
        ([cases, "--kinds", "box", "--min-voxels", "9999"], "nothing to evaluate"),
        ([cases, "--kinds", ""], "No kind of prompt"),
        ([cases, "--compare", tmp_path / "gone.csv"], "gone.csv cannot be read"),
        ([cases, "--compare", tmp_path / "old.csv"], "old.csv holds no answers"),
        ([cases, "--plots", tmp_path / "old.csv"], "is a file, not a folder"),
        ([cases, "--masks", tmp_path], "Say with --kinds what the masks were made from"),
        ([cases, "--masks", tmp_path, "--kinds", "box,text"], "one kind for all"),
        ([cases, "--masks", tmp_path, "--kinds", "box"], "The masks of first are missing"),
        ([cases, "--masks-label-map", tmp_path], "--masks, which is not given"),
        ([tmp_path / "old.csv"], "old.csv holds no answers"),
        ([tmp_path / "old.csv", "--organs", "liver"], "is a run that is done"),
        ([tmp_path / "old.csv", "--masks", tmp_path], "is a run that is done"),
        ([cases, "--windows", "some"], "'--windows'"),
        ([cases, "--limit", "0"], "'--limit'"),
    ]
    for options, message in refused:
        assert_refused(evaluate(*options), message)
    assert (tmp_path / "old.csv").read_text() == "mine"


def test_a_report_that_exists_is_replaced_on_request(
    evaluate: Evaluate, cases: Path, tmp_path: Path
) -> None:
    report = tmp_path / "scores.csv"
    report.write_text("old")
    options = (cases, "--limit", "1", "--kinds", "point", "--organs", "brainstem", "-o", report)
    assert evaluate(*options, "--overwrite").exit_code == 0
    assert len(read_csv(report)) == 1


def test_an_interrupted_evaluation_writes_what_it_has(
    evaluate: Evaluate, cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored = evaluating.score_prompts

    def interrupted(*arguments: object, **options: object) -> object:
        yield next(iter(scored(*arguments, **options)))
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluating, "score_prompts", interrupted)
    result = evaluate(cases, "--kinds", "point", "-o", tmp_path / "scores.csv")
    assert result.exit_code == 130
    assert len(read_csv(tmp_path / "scores.csv")) == 1
