"""Training folders: every layout gives the same cases, and a check says what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_cts import ORGANS, TINY, two_organs, write_image, write_named_folder
from made_layouts import LAYOUTS, decathlon, files_per_structure, m3d_seg, nnunet

from segvol_core.model.config import SegVolConfig
from segvol_core.training import augmentation as augment
from segvol_core.training.cases import TrainingCase, prepare_cases
from segvol_core.training.data.check import DataReport, check_cases, report_on
from segvol_core.training.data.layouts import read_records
from segvol_core.training.data.overlaps import MaskLayers
from segvol_core.training.data.records import CaseRecord, TrainingDataError
from segvol_core.training.targets import WindowTargets

ANY_VOXELS = replace(TINY, spacing_mm=None, hounsfield_levels=None)


def masks_of(case: TrainingCase) -> dict[str, np.ndarray]:
    """Masks on the prepared image."""
    shape = tuple(case.image.shape)
    overview = augment.draw_overview(shape, shape, augment.NONE, np.random.default_rng(0), 1.0)
    targets = WindowTargets(case, overview.zoomed_out())
    return {name: targets.label_mask(value) for name, value in case.label_values.items()}


@pytest.mark.parametrize("write", LAYOUTS)
def test_every_layout_gives_the_same_cases(write: Callable[[Path], None], tmp_path: Path) -> None:
    write(tmp_path)
    records = read_records(tmp_path)
    assert [record.split for record in records].count("validation") == 1
    assert [record.split for record in records].count("train") == 2
    config = ANY_VOXELS if write is m3d_seg else TINY
    for index, case in enumerate(prepare_cases(records, config)):
        assert case.name.endswith(f"case{index}")
        _, labels = two_organs(index)
        masks = masks_of(case)
        assert set(masks) == set(ORGANS)
        for name, value in ORGANS.items():
            # Its own voxels are 5 mm, and nothing but air was cropped.
            assert masks[name].sum() == (labels == value).sum()
            bright = case.image.float()[torch.from_numpy(masks[name])].mean()
            assert float(bright) > 2 * float(case.image.float().mean())
    assert not report_on(check_cases(records, config)).findings or write is m3d_seg


def test_m3d_seg_is_refused_where_millimetres_or_hounsfield_units_are_needed(
    tmp_path: Path,
) -> None:
    m3d_seg(tmp_path)
    records = read_records(tmp_path)
    with pytest.raises(TrainingDataError, match="do not say how large a voxel is"):
        list(prepare_cases(records, TINY))
    with pytest.raises(TrainingDataError, match="values are normalised"):
        list(prepare_cases(records, replace(TINY, spacing_mm=None)))
    assert len(report_on(check_cases(records, TINY)).errors) == 2 * 3
    assert not report_on(check_cases(records, ANY_VOXELS)).errors


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 5), share=st.floats(0, 1))
def test_masks_that_overlap_come_back_as_they_were(seed: int, count: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    masks = {f"organ {i}": rng.random((3, 4, 5)) < share for i in range(count)}
    layers = MaskLayers((3, 4, 5))
    for name, mask in masks.items():
        layers.add(name, mask)
    labels, structures = layers.combined()
    for name, mask in masks.items():
        assert (np.isin(labels, structures[name]) == mask).all()


def test_a_tumour_inside_its_organ_belongs_to_both(tmp_path: Path) -> None:
    nnunet(tmp_path)
    description = json.loads((tmp_path / "dataset.json").read_text())
    description["labels"] = {"background": 0, "organs": [1, 2], "spleen": 2, "milz": [2]}
    (tmp_path / "dataset.json").write_text(json.dumps(description))
    case = next(iter(prepare_cases(read_records(tmp_path), TINY)))
    masks = masks_of(case)
    _, labels = two_organs()
    assert masks["organs"].sum() == (labels > 0).sum()
    assert masks["spleen"].sum() == masks["milz"].sum() == (labels == 2).sum()


def test_only_named_structures_are_taken_and_a_case_without_labels_is_unlabelled(
    tmp_path: Path,
) -> None:
    files_per_structure(tmp_path)
    for mask in (tmp_path / "case1" / "segmentations").iterdir():
        mask.unlink()
    text = (tmp_path / "dataset.yaml").read_text()
    (tmp_path / "dataset.yaml").write_text(
        text + "structures: {my organ: spleen}\nvalidation: [case2]\n"
    )
    records = read_records(tmp_path)
    assert [record.split for record in records] == ["train", "unlabelled", "validation"]
    assert [record.structures for record in records] == [("my organ",), (), ("my organ",)]


def test_label_maps_beside_their_cts_are_no_cases(tmp_path: Path) -> None:
    voxels, labels = two_organs()
    write_image(voxels.astype(np.int16), tmp_path / "a.nrrd")
    write_image(labels, tmp_path / "a_labels.nrrd")
    (tmp_path / "dataset.yaml").write_text(
        'image: "{case}.nrrd"\nlabels: "{case}_labels.nrrd"\nstructures: {liver: 1}\n'
    )
    assert [record.name for record in read_records(tmp_path)] == ["a"]


def test_cases_for_validation_are_drawn_or_named(tmp_path: Path) -> None:
    write_named_folder(tmp_path, 5)
    splits = [[r.name for r in read_records(tmp_path, 0.4) if r.split == "validation"]] * 2
    assert splits[0] == splits[1]
    assert len(splits[0]) == 2
    assert all(record.split == "train" for record in read_records(tmp_path, 0.0))
    named = read_records(tmp_path, ("case3",))
    assert [record.name for record in named if record.split == "validation"] == ["case3"]
    with pytest.raises(TrainingDataError, match="no labelled case nobody"):
        read_records(tmp_path, ("nobody",))


@pytest.mark.parametrize(
    ("file", "text", "sentence"),
    [
        ("dataset.yaml", "image: [", "cannot be read as YAML"),
        ("dataset.yaml", "image: '{case}.nrrd'\nlabel: x", "“label” is not known"),
        ("dataset.yaml", "labels: x", "“image” is missing"),
        ("dataset.yaml", "image: ct.nrrd\nlabels: x", "“image” must have {case}"),
        ("dataset.yaml", "image: '{case}.nrrd'", "either “labels” or “masks”"),
        ("dataset.yaml", "image: '{case}.nrrd'\nlabels: '{case}.x'", "must name the values"),
        ("dataset.yaml", "image: '{case}.nrrd'\nmasks: '{case}.x'", "must have {case} and"),
        ("dataset.yaml", "image: '{case}.no'\nmasks: '{case}/{structure}'", "no file is named"),
        ("dataset.json", "[]", "no JSON object"),
        ("dataset.json", '{"labels": {"0": "background"}}', "no layout that is known"),
        (
            "dataset.json",
            '{"training": [{"image": "a", "label": "b"}], "labels": {"0": "liver", "1": "spleen"}}',
            "gives the value 0 to “liver”, and 0 is the background",
        ),
        ("dataset.json", '{"training": [], "labels": []}', "object from value to name"),
        ("dataset.json", '{"training": [{"label": 1}], "labels": {}}', "not of the form"),
        ("dataset.json", '{"training": [], "labels": {}}', "lists no case"),
        ("dataset.json", '{"training": ["a.nrrd"], "labels": {}}', "which is not there"),
        (
            "dataset.json",
            '{"training": [], "labels": {}, "modality": {"0": "CT", "1": "PET"}}',
            "several images",
        ),
    ],
)
def test_a_description_that_makes_no_sense_is_said_in_a_sentence(
    tmp_path: Path, file: str, text: str, sentence: str
) -> None:
    (tmp_path / file).write_text(text)
    with pytest.raises(TrainingDataError, match=sentence.replace("{", "[{]")):
        read_records(tmp_path)
    with pytest.raises(TrainingDataError, match="no training folder"):
        read_records(tmp_path / "nowhere")


def check(folder: Path, config: SegVolConfig = TINY) -> DataReport:
    return report_on(check_cases(read_records(folder, 0.0), config))


def messages(report: DataReport, *, errors: bool) -> str:
    return " | ".join(f"{f.case}: {f.message}" for f in report.findings if f.is_error == errors)


def test_the_check_says_what_the_cases_are(tmp_path: Path) -> None:
    write_named_folder(tmp_path)
    report = check(tmp_path)
    assert report.findings == ()
    case = report.cases[0]
    assert (case.shape_zyx, case.spacing_zyx, case.orientation) == ((14, 24, 24), (5, 5, 5), "RAS")
    assert case.lowest < -1000 < 700 - 40 < case.highest
    assert report.voxels == {"liver": [8 * 10 * 8] * 3, "spleen": [5 * 6 * 5] * 3}


def test_the_check_finds_files_that_would_stop_a_training(tmp_path: Path) -> None:
    write_named_folder(tmp_path, 6)
    labels = two_organs()[1]
    (tmp_path / "images" / "case0.nii.gz").write_bytes(b"no image")
    (tmp_path / "labels" / "case1.nrrd").write_text("no image")
    write_image(labels[:-1], tmp_path / "labels" / "case2.nrrd")
    write_image(labels, tmp_path / "labels" / "case3.nrrd", origin=(3, 0, 0))
    write_image(labels + 0.25, tmp_path / "labels" / "case4.nrrd")
    report = check(tmp_path)
    assert len(report.errors) == 5
    assert [case.name for case in report.cases] == ["case5"]
    found = messages(report, errors=True)
    assert "case0: case0.nii.gz is no image" in found
    assert "case1: case1.nrrd cannot be read as a label map" in found
    assert "case2: case2.nrrd does not lie on the voxels of the CT: its shape is (13" in found
    assert "case3: case3.nrrd does not lie on the voxels of the CT: corners are 0.6" in found
    assert "case4: case4.nrrd holds values that are no whole numbers" in found


def test_the_check_warns_of_what_may_spoil_a_training(tmp_path: Path) -> None:
    write_named_folder(tmp_path, 5)
    voxels, labels = two_organs()
    write_image(np.zeros_like(labels), tmp_path / "labels" / "case0.nrrd")
    write_image(np.where(labels == 2, 7, labels), tmp_path / "labels" / "case1.nrrd")
    write_image((voxels + 1200).astype(np.int16), tmp_path / "images" / "case2.nii.gz")
    for folder, name, array in (
        ("images", "case3.nii.gz", voxels),
        ("labels", "case3.nrrd", labels),
    ):
        write_image(array.astype(np.int16), tmp_path / folder / name, spacing=20)
    description = tmp_path / "dataset.yaml"
    description.write_text(
        "image: images/{case}.nii.gz\nlabels: labels/{case}.nrrd\n"
        "structures: {liver: 1, spleen: 2, my lesion: 3}\n"
    )
    report = check(tmp_path)
    assert not report.errors
    found = messages(report, errors=False)
    assert "case0: its labels are empty" in found
    assert "case1: empty labels: spleen, my lesion" in found
    assert "case1: labels without a name, taught as background: 7" in found
    assert "case2: The values run from" in found
    assert "case3: a voxel of 20 x 20 x 20 mm" in found
    assert "case3: its slices are 20 mm apart, those of most cases 5 mm" in found
    assert "all cases: no case for training shows my lesion" in found
    assert "all cases: not in the vocabulary, so that only these very words find" in found


def test_a_label_map_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    decathlon(tmp_path)
    path = tmp_path / "labelsTr" / "case1.nii.gz"
    path.write_bytes(path.read_bytes()[:-40])
    assert "case1: case1.nii.gz is truncated" in messages(check(tmp_path), errors=True)
    voxels = np.where(two_organs()[1] == 1, np.nan, 0).astype(np.float32)
    write_image(voxels, path)
    found = messages(check(tmp_path), errors=True)
    assert "case1: case1.nii.gz has voxels that hold no number" in found


def test_a_missing_label_file_is_named(tmp_path: Path) -> None:
    nnunet(tmp_path)
    (tmp_path / "labelsTr" / "case1.nrrd").unlink()
    with pytest.raises(TrainingDataError, match=r"labelsTr.case1.nrrd, which is not there"):
        read_records(tmp_path)


def edit_json(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def test_the_background_is_no_structure_but_an_organ_counted_from_0_is_a_mistake(
    tmp_path: Path,
) -> None:
    nnunet(tmp_path)
    path = tmp_path / "dataset.json"
    edit_json(path, labels={"Clear Label": 0, **ORGANS})
    assert read_records(tmp_path)[0].structures == tuple(ORGANS)
    edit_json(path, labels={"liver": 0, "spleen": 1})
    with pytest.raises(TrainingDataError, match="gives the value 0 to “liver”"):
        read_records(tmp_path)
    edit_json(path, labels={"background": 0, **ORGANS, "belly": [0, 1]})
    with pytest.raises(TrainingDataError, match="gives the value 0 to “belly”"):
        read_records(tmp_path)
    path.unlink()
    write_named_folder(tmp_path)
    description = tmp_path / "dataset.yaml"
    description.write_text(description.read_text().replace("liver: 1", "liver: 0"))
    with pytest.raises(TrainingDataError, match="gives the value 0 to “liver”"):
        read_records(tmp_path)


def test_nnunet_data_whose_files_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    nnunet(tmp_path)
    for folder in ("imagesTr", "labelsTr"):  # As a copy from a Mac has them.
        (tmp_path / folder / "._case1_0000.nrrd").write_bytes(b"Mac OS X")
    assert len(read_records(tmp_path)) == 3
    (tmp_path / "imagesTr" / "case1_0000.nrrd").unlink()
    with pytest.raises(TrainingDataError, match=r"case1.nrrd has no CT imagesTr/case1_0000.nrrd"):
        read_records(tmp_path)
    (tmp_path / "dataset.json").write_text('{"channel_names": {"0": "CT"}}')
    with pytest.raises(TrainingDataError, match="object from name to value"):
        read_records(tmp_path)


def test_a_structure_that_no_file_is_named_after_is_misspelt(tmp_path: Path) -> None:
    files_per_structure(tmp_path)
    for case in (0, 1):  # A case may lack a structure; all of them may not.
        (tmp_path / f"case{case}" / "segmentations" / "spleen.nii.gz").unlink()
    (tmp_path / "case0" / "._ct.nrrd").write_bytes(b"Mac OS X")
    description = tmp_path / "dataset.yaml"
    text = description.read_text()
    description.write_text(text + "structures: [liver, spleen]\n")
    assert len(read_records(tmp_path)) == 3
    description.write_text(text + "structures: [liver, splen]\n")
    with pytest.raises(TrainingDataError, match=r"file for splen. There are files for liver, sple"):
        read_records(tmp_path)


def test_the_check_doubts_names_and_images_that_are_no_ct(tmp_path: Path) -> None:
    decathlon(tmp_path)
    path = tmp_path / "dataset.json"
    edit_json(path, labels={"1": "livre", "2": "spleen"}, modality={"0": "CT"})
    report = check(tmp_path)
    assert [finding.message for finding in report.findings] == [
        "not in the vocabulary, so that only these very words find them: livre (liver?)."
    ]
    edit_json(path, labels={"1": "liver", "2": "spleen"}, modality={"0": "T2 MRI"})
    assert "calls the images T2 MRI, and SegVol is for CT" in messages(
        check(tmp_path), errors=False
    )


def test_the_check_names_structures_that_are_the_very_same(tmp_path: Path) -> None:
    nnunet(tmp_path)
    edit_json(tmp_path / "dataset.json", labels={"liver": 1, "spleen": 2, "stomach": 2})
    found = messages(check(tmp_path), errors=False)
    assert "case0: spleen and stomach are the very same voxels" in found
    assert "liver and" not in found


def test_a_record_lists_all_its_files() -> None:
    record = CaseRecord(
        "a", "train", "", Path("a"), Path("b"), {"liver": 1}, {"all": (1, 2)}, {"c": Path("c")}
    )
    assert record.files == (Path("a"), Path("b"), Path("c"))
    assert record.structures == ("liver", "all", "c")
