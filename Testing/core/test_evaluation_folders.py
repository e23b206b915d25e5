"""`segvol evaluate` reads every folder that `segvol train` reads, or says what is wrong with it."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import assert_refused
from labelled_folder import Evaluate, evaluate_with, read_csv
from made_cts import ORGANS, TINY, two_organs, write_image, write_named_folder
from made_layouts import LAYOUTS, files_per_structure, m3d_seg, nnunet

from segvol_core.errors import SegVolError
from segvol_core.evaluation.cases import cases_of_folder, read_case
from segvol_core.evaluation.structures import Structure
from segvol_core.model.segvol import SegVol
from segvol_core.training.data.layouts import read_records
from segvol_core.weights import save_model


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory, small: SegVol) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_model(small, path)
    return path


@pytest.fixture
def evaluate(weights: Path) -> Evaluate:
    return evaluate_with(weights)


@pytest.fixture(params=LAYOUTS, ids=lambda write: write.__name__)
def layout(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = tmp_path / "layout"
    folder.mkdir()
    request.param(folder)
    return folder


def test_the_cases_of_every_layout_show_the_same_structures(layout: Path) -> None:
    for index, record in enumerate(cases_of_folder(layout)):
        voxels, labels = two_organs(index)
        case = read_case(record)
        assert case.name.endswith(f"case{index}")
        assert np.corrcoef(case.volume.voxels.ravel(), voxels.ravel())[0, 1] > 0.999
        for name, value in ORGANS.items():
            assert (case.mask(Structure(name, (name,))) == (labels == value)).all()
        both = Structure("both", tuple(ORGANS))
        assert (case.mask(both) == (labels > 0)).all()


def test_every_layout_is_evaluated_with_every_kind_of_prompt(
    evaluate: Evaluate, layout: Path, tmp_path: Path
) -> None:
    kinds = "text,point,points5,box,box+text"
    options = ("--split", "validation", "--kinds", kinds, "-o", tmp_path / "scores.csv")
    result = evaluate(layout, *options)
    assert result.exit_code == 0, result.output
    rows = read_csv(tmp_path / "scores.csv")
    asked = [(row["structure"], row["prompt"]) for row in rows]
    expected = ("text", "point", "points5", "box", "text+box")
    assert asked == [(name, kind) for name in ORGANS for kind in expected]
    assert len({row["case"] for row in rows}) == 1
    in_millimetres = not rows[0]["case"].startswith("0099")
    assert {bool(row["label_ml"]) for row in rows} == {in_millimetres}
    assert {bool(row["surface_dice_3mm"]) for row in rows} == {in_millimetres}


def test_masks_of_another_program_are_compared_in_every_layout(
    evaluate: Evaluate, layout: Path, tmp_path: Path
) -> None:
    theirs, names = tmp_path / "theirs", tmp_path / "names.json"
    names.write_text(json.dumps(ORGANS))
    for index, record in enumerate(cases_of_folder(layout)):
        _, labels = two_organs(index)
        write_image(labels, theirs / f"{record.name}.nii.gz")
    ours = tmp_path / "ours.csv"
    assert evaluate(layout, "--kinds", "box", "-o", ours).exit_code == 0
    options = ("--kinds", "box", "--masks", theirs, "--masks-label-map", names)
    result = evaluate(layout, *options, "--compare", ours)
    assert result.exit_code == 0, result.output
    table = result.stdout.split("A, ours.csv, and B, this run, ")[1]
    prompt, metric, pairs, before, after, *_, p = (
        cell.strip() for cell in table.splitlines()[4].strip("|").split("|")
    )
    assert (prompt, metric, pairs, after) == ("box", "Dice", "6", "1.000")
    assert float(before) < 1
    assert 0 < float(p) < 0.05


def test_structures_that_overlap_are_scored_each_for_itself(
    evaluate: Evaluate, tmp_path: Path
) -> None:
    folder, theirs, scores = tmp_path / "ours", tmp_path / "theirs", tmp_path / "scores.csv"
    folder.mkdir()
    nnunet(folder)
    description = json.loads((folder / "dataset.json").read_text())
    description["labels"] = {"background": 0, "organs": [1, 2], "spleen": 2}
    (folder / "dataset.json").write_text(json.dumps(description))
    for index in range(3):
        _, labels = two_organs(index)
        # They miss the liver, which is part of one structure only.
        write_image(np.where(labels == 1, 0, labels), theirs / f"case{index}.nii.gz")
    result = evaluate(folder, "--kinds", "text", "--masks", theirs, "-o", scores)
    assert result.exit_code == 0, result.output
    rows = read_csv(scores)
    _, labels = two_organs()
    missed = 2 * (labels == 2).sum() / ((labels == 2).sum() + (labels > 0).sum())
    dice = {(row["structure"], row["dice"]) for row in rows}
    assert dice == {("organs", f"{missed:.4f}"), ("spleen", "1.0000")}


def test_masks_that_overlap_are_scored_each_for_itself(tmp_path: Path) -> None:
    files_per_structure(tmp_path)
    _, labels = two_organs()
    segmentations = tmp_path / "case0" / "segmentations"
    write_image((labels > 0).astype(np.uint8), segmentations / "abdomen.nii.gz")
    case = read_case(cases_of_folder(tmp_path)[0])
    for name, expected in (("abdomen", labels > 0), ("liver", labels == 1)):
        assert (case.mask(Structure(name, (name,))) == expected).all()
    both = Structure("both", ("abdomen", "spleen"))
    assert (case.mask(both) == (labels > 0)).all()


def test_cases_of_a_folder_are_those_with_labels_in_the_split(tmp_path: Path) -> None:
    (tmp_path / "ct.nii.gz").touch()
    common = {"image": "ct.nii.gz", "label_map": {"liver": 1}}
    records = [
        {"case": "a", "split": "train", "labels": "ct.nii.gz", **common},
        {"case": "b", "split": "validation", "labels": "ct.nii.gz", **common},
        {"case": "c", "split": "validation", "labels": None, **common},
    ]
    (tmp_path / "index.json").write_text(json.dumps(records))
    assert [case.name for case in cases_of_folder(tmp_path)] == ["a", "b"]
    assert [case.name for case in cases_of_folder(tmp_path, "validation")] == ["b"]
    with pytest.raises(SegVolError, match=r"“test”; it has train \(1\), validation \(1\)"):
        cases_of_folder(tmp_path, "test")
    (tmp_path / "index.json").write_text(json.dumps(records[2:]))
    with pytest.raises(SegVolError, match="has CTs, but no labels to compare with"):
        cases_of_folder(tmp_path)
    with pytest.raises(SegVolError, match=r"There is no folder .*elsewhere"):
        cases_of_folder(tmp_path / "elsewhere")


def test_the_split_for_validation_is_that_of_a_training(evaluate: Evaluate, tmp_path: Path) -> None:
    folder, scores = write_named_folder(tmp_path / "cts", 5), tmp_path / "scores.csv"
    drawn = {case.name for case in read_records(folder, 0.4) if case.split == "validation"}
    for validation, expected in (("0.4", drawn), ("case3, case1", {"case1", "case3"})):
        options = ("--split", "validation", "--validation", validation, "--kinds", "text")
        masks = ("--masks", folder / "labels", "-o", scores, "--overwrite")
        assert evaluate(folder, *options, *masks).exit_code == 0
        assert {row["case"] for row in read_csv(scores)} == expected
    wrong = evaluate(folder, "--split", "validation", "--validation", "1.5")
    assert_refused(wrong, "--validation is a share from 0 to 1, or names of cases")
    without = evaluate(folder, "--validation", "0.4")
    assert_refused(without, "give --split validation with it")
    nobody = evaluate(folder, "--split", "validation", "--validation", "nobody")
    assert_refused(nobody, "no labelled case nobody for validation")


def test_folders_that_cannot_be_evaluated_are_refused_in_a_sentence(
    evaluate: Evaluate, tmp_path: Path
) -> None:
    assert_refused(evaluate(tmp_path), "has no layout that is known")
    folder = write_named_folder(tmp_path / "cts")
    assert_refused(evaluate(folder, "--split", "test"), "it has train (2), validation (1)")
    write_image(two_organs()[1][:-1], folder / "labels" / "case0.nrrd")
    result = evaluate(folder, "--kinds", "box")
    assert_refused(result, "case0: case0.nrrd does not lie on the voxels of the CT: its shape is")


def test_a_network_that_needs_millimetres_refuses_cases_without_them(tmp_path: Path) -> None:
    folder = tmp_path / "m3d"
    folder.mkdir()
    m3d_seg(folder)
    for config, message in (
        (TINY, "do not say how large a voxel is, and this network works at 5 mm"),
        (replace(TINY, spacing_mm=None), "its values are normalised"),
    ):
        torch.manual_seed(0)
        save_model(SegVol(config), tmp_path / "needs.safetensors")
        result = evaluate_with(tmp_path / "needs.safetensors")(folder, "--kinds", "box")
        assert_refused(result, message)


def test_without_the_packages_that_read_folders_one_is_told_how_to_install_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("layouts", "named_folder"):
        monkeypatch.delitem(sys.modules, f"segvol_core.training.data.{module}", raising=False)
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(SegVolError, match=r"needs yaml, .* pip install 'segvol\[evaluate\]'"):
        cases_of_folder(tmp_path)
