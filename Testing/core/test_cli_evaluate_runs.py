"""`segvol evaluate` on more than one run: comparison, plots, another program's masks."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import SimpleITK
from command_line import assert_refused, run
from labelled_folder import WEIGHTS, Evaluate, evaluate_with, read_csv, write_cases
from made_scores import score

from segvol_core.cli import evaluating
from segvol_core.evaluation.label_prompts import PromptKind
from segvol_core.evaluation.score_csv import to_csv
from segvol_core.model.segvol import SegVol


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory, small: SegVol) -> Path:
    return write_cases(tmp_path_factory.mktemp("cases"), small)


@pytest.fixture
def evaluate(cases: Path) -> Evaluate:
    return evaluate_with(cases / WEIGHTS)


@pytest.fixture
def their_masks(cases: Path, tmp_path: Path) -> Path:
    """Perfect masks of the first case, and of the second all but the structure of value 2."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    shutil.copy(cases / "first_labels.nii.gz", folder / "first.nii.gz")
    labels = SimpleITK.ReadImage(str(cases / "second_labels.nii.gz"))
    image = SimpleITK.Cast(labels, SimpleITK.sitkUInt8) * SimpleITK.Cast(
        labels != 2, SimpleITK.sitkUInt8
    )
    SimpleITK.WriteImage(image, str(folder / "second.nii.gz"))
    return folder


def test_masks_of_another_program_stand_beside_ours(
    evaluate: Evaluate,
    cases: Path,
    their_masks: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = (cases, "--split", "validation", "--kinds", "box")
    ours, theirs = tmp_path / "ours.csv", tmp_path / "theirs.csv"
    assert evaluate(*options, "-o", ours).exit_code == 0

    def no_network(*_: object) -> None:
        raise AssertionError("masks are scored without a network")

    monkeypatch.setattr(evaluating, "load_model", no_network)
    result = evaluate(*options, "--masks", their_masks, "-o", theirs, "--compare", ours)
    assert result.exit_code == 0, result.output
    rows = read_csv(theirs)
    assert len(rows) == len(read_csv(ours)) == 6
    assert {row["windows"] for row in rows} == {"masks"}
    assert {row["seconds"] for row in rows} == {""}
    dice = {(row["case"], row["structure"]): row["dice"] for row in rows}
    assert dice.pop(("second", "LeftParotid")) == "0.0000"
    assert set(dice.values()) == {"1.0000"}
    table = result.stdout.split("A, ours.csv, and B, this run, ")[1]
    first = [cell.strip() for cell in table.splitlines()[4].strip("|").split("|")]
    mean = sum(float(row["dice"]) for row in read_csv(ours)) / 6
    assert first[:3] == ["box", "Dice", "6"]
    assert [float(first[3]), float(first[4])] == pytest.approx([mean, 5 / 6], abs=1e-3)


def test_masks_are_named_on_request(evaluate: Evaluate, cases: Path, tmp_path: Path) -> None:
    options = (cases, "--split", "validation", "--kinds", "box,text", "--identify")
    result = evaluate(*options, "-o", tmp_path / "named.csv")
    assert result.exit_code == 0, result.output
    assert "Right name first, box:" in result.stdout
    for row in read_csv(tmp_path / "named.csv"):
        assert (row["name_rank"] == "") == (row["prompt"] == "text")
    refused = evaluate(cases, "--kinds", "box", "--identify", "--masks", cases)
    assert_refused(refused, "--identify asks our network")


def test_a_missing_mask_stops_it_and_what_was_scored_is_kept(
    evaluate: Evaluate,
    cases: Path,
    their_masks: Path,
    tmp_path: Path,
) -> None:
    (their_masks / "second.nii.gz").unlink()
    options = (cases, "--split", "validation", "--kinds", "box", "--masks", their_masks)
    assert_refused(evaluate(*options), "The masks of second are missing")
    (their_masks / "second").mkdir()
    result = evaluate(*options, "-o", tmp_path / "kept.csv")
    assert result.exit_code == 2
    assert "Error: The masks of second have no file for Brainstem" in result.stderr
    assert {row["case"] for row in read_csv(tmp_path / "kept.csv")} == {"first"}


def test_a_run_out_of_a_file_is_reported_compared_and_drawn(tmp_path: Path) -> None:
    clicks = (0.2, 0.3, 0.4, 0.45, 0.5)
    for name, change in (("a", 0.0), ("b", 0.1)):
        scores = [
            score("liver", PromptKind.BOX, 0.5 + change * case, case=f"case{case}")
            for case in range(4)
        ]
        scores.append(score("liver", PromptKind.POINTS5, 0.5, dice_after_clicks=clicks))
        (tmp_path / f"{name}.csv").write_text(to_csv(scores))
    pictures = tmp_path / "pictures"
    options = ("evaluate", tmp_path / "b.csv", "--compare", tmp_path / "a.csv")
    result = run(*options, "--plots", pictures, "--markdown", tmp_path / "b.md")
    assert result.exit_code == 0, result.output
    assert "A, a.csv, and B, this run, over their common answers" in result.stdout
    assert (tmp_path / "b.md").read_text() == result.stdout
    names = ["dice.png", "dice_after_clicks.png", "hausdorff95.png", "surface_dice.png"]
    assert sorted(path.name for path in pictures.iterdir()) == names
    refused = run(*options, "--plots", pictures)
    assert_refused(refused, "dice.png exists already; --overwrite replaces it")
    assert run(*options, "--plots", pictures, "--overwrite").exit_code == 0


def test_runs_with_nothing_in_common_are_refused_before_anything_is_computed(
    evaluate: Evaluate,
    cases: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, case in (("a", "first"), ("b", "other")):
        (tmp_path / f"{name}.csv").write_text(
            to_csv([score("Brainstem", PromptKind.BOX, 0.5, case=case)])
        )
    monkeypatch.setattr(evaluating, "load_model", lambda *_: pytest.fail("computed"))
    for options in (
        (cases, "--kinds", "box", "--compare", tmp_path / "b.csv"),
        (cases, "--kinds", "point", "--compare", tmp_path / "a.csv"),
        (tmp_path / "a.csv", "--compare", tmp_path / "b.csv"),
    ):
        assert_refused(evaluate(*options), "The two runs have nothing in common")


def test_a_folder_for_pictures_that_cannot_be_made_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.csv").write_text(to_csv([score("liver", PromptKind.BOX, 0.5)]))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    result = run("evaluate", tmp_path / "a.csv", "--plots", tmp_path / "new")
    assert result.exit_code == 2
    assert "new cannot be made: Permission denied." in result.stderr
