"""Cases to evaluate: their label maps, their voxels, and the structures that are meant."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from made_masks import LABEL_VALUES, ct_and_labels

from segvol_core.errors import SegVolError, SegVolWarning
from segvol_core.evaluation.cases import read_case, single_case
from segvol_core.evaluation.label_maps import read_label_map
from segvol_core.evaluation.structures import (
    Structure,
    check_wanted,
    choose_structures,
    parse_groups,
)
from segvol_core.training.data.records import CaseRecord


def test_label_maps_are_read_from_json_and_csv(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"liver": 5, "spleen": 1}')
    (tmp_path / "b.csv").write_text(
        "group,original_idx,structure,id\norgans,9,liver,5\n\n", "utf-8-sig"
    )
    (tmp_path / "c.csv").write_text("value,name\n5,liver\n")
    assert read_label_map(tmp_path / "a.json") == {"liver": 5, "spleen": 1}
    assert read_label_map(tmp_path / "b.csv") == {"liver": 5}
    assert read_label_map(tmp_path / "c.csv") == {"liver": 5}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", b"[1, 2]"),
        ("a.json", b"{"),
        ("a.json", b'{"liver": "five"}'),
        ("a.json", b"{}"),
        ("a.csv", b""),
        ("a.csv", b"colour,id\nred,1\n"),
        ("a.csv", b"structure\nliver\n"),
        ("a.csv", b"structure,id\nliver,\n"),
        ("a.csv", b"structure,id\nliver\n"),
        ("a.csv", b"structure,id\nliver,1\nliver,2\n"),
        ("a.csv", b"structure,id\n,1\n"),
        ("a.csv", b"\xff\xfe\x00\x80"),
    ],
)
def test_what_is_no_label_map_is_refused(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SegVolError, match=name):
        read_label_map(tmp_path / name)


def test_a_missing_label_map_is_named(tmp_path: Path) -> None:
    with pytest.raises(SegVolError, match=r"gone\.csv"):
        read_label_map(tmp_path / "gone.csv")


def write_image(path: Path, voxels_kji: np.ndarray, orientation: str = "LPS") -> None:
    image = SimpleITK.GetImageFromArray(voxels_kji)
    image.SetSpacing((2.0, 2.0, 3.0))
    SimpleITK.WriteImage(SimpleITK.DICOMOrient(image, orientation), str(path))


def files(folder: Path) -> CaseRecord:
    image, labels = folder / "ct.nii.gz", folder / "labels.nii.gz"
    return CaseRecord("case", "validation", "", image, labels, LABEL_VALUES)


def test_labels_are_put_on_the_voxels_of_the_ct_whatever_the_order_of_their_axes(
    tmp_path: Path,
) -> None:
    hounsfield, labels = ct_and_labels()
    write_image(tmp_path / "ct.nii.gz", hounsfield, "LPS")
    write_image(tmp_path / "labels.nii.gz", labels.astype(np.float32), "ASR")
    case = read_case(files(tmp_path))
    assert (case.labels == labels).all()
    assert case.spacing_kji == (3, 2, 2)
    both = Structure("both", ("liver", "spleen"))
    assert (case.mask(both) == np.isin(labels, (1, 2))).all()


def test_labels_that_do_not_fit_the_ct_are_refused(tmp_path: Path) -> None:
    hounsfield, labels = ct_and_labels()
    write_image(tmp_path / "ct.nii.gz", hounsfield)
    for wrong, message in (
        (labels[1:], "case: labels.nii.gz does not lie on the voxels of the CT: its shape is"),
        (labels + np.float32(0.5), "case: labels.nii.gz holds values that are no whole numbers"),
    ):
        write_image(tmp_path / "labels.nii.gz", wrong)
        with pytest.raises(SegVolError, match=message):
            read_case(files(tmp_path))
    moved = SimpleITK.GetImageFromArray(labels)
    moved.SetSpacing((2.0, 2.0, 3.0))
    moved.SetOrigin((1.0, 0.0, 0.0))
    SimpleITK.WriteImage(moved, str(tmp_path / "labels.nii.gz"))
    with pytest.raises(SegVolError, match=r"does not lie .* corners are 0\.5 voxels apart"):
        read_case(files(tmp_path))


def test_labels_without_a_voxel_are_pointed_out(tmp_path: Path) -> None:
    hounsfield, labels = ct_and_labels()
    write_image(tmp_path / "ct.nii.gz", hounsfield)
    write_image(tmp_path / "labels.nii.gz", labels * 0)
    with pytest.warns(SegVolWarning, match="The labels of case are empty"):
        assert not read_case(files(tmp_path)).mask(Structure("liver", ("liver",))).any()


def test_a_warning_about_a_ct_says_which_case_it_is(tmp_path: Path) -> None:
    hounsfield, labels = ct_and_labels()
    write_image(tmp_path / "ct.nii.gz", (hounsfield - hounsfield.min()).astype(np.int16))
    write_image(tmp_path / "labels.nii.gz", labels)
    with pytest.warns(SegVolWarning, match="^case: The values run from 0 to"):
        read_case(files(tmp_path))


def test_a_case_without_its_labels_is_refused(tmp_path: Path) -> None:
    hounsfield, _ = ct_and_labels()
    write_image(tmp_path / "ct.nii.gz", hounsfield)
    (tmp_path / "names.csv").write_text("structure,id\nliver,1\n")
    with pytest.raises(SegVolError, match=r"There is no file .*labels\.nii\.gz"):
        single_case(tmp_path / "ct.nii.gz", tmp_path / "labels.nii.gz", tmp_path / "names.csv")
    with pytest.raises(SegVolError, match=r"case: labels\.nii\.gz cannot be read"):
        read_case(files(tmp_path))
    with pytest.raises(SegVolError, match="case has no labels to compare with"):
        read_case(replace(files(tmp_path), labels=None))


def test_structures_are_chosen_by_name_pattern_or_what_people_call_them() -> None:
    lobes = ("lung_upper_lobe_left", "lung_lower_lobe_left")
    labelled = (*lobes, "kidney_left", "liver")

    def names(*wanted: str) -> list[str]:
        return [structure.name for structure in choose_structures(labelled, wanted)]

    assert names() == list(labelled)
    assert names("lung_*") == list(lobes)
    assert names("Left Kidney", "LIVER") == ["kidney_left", "liver"]
    assert names("spleen") == []
    groups = parse_groups(["left lung=lung_*_left"])
    assert choose_structures(labelled, (), groups) == [Structure("left lung", lobes)]
    assert choose_structures(labelled, ("liver",), groups) == [
        Structure("liver", ("liver",)),
        Structure("left lung", lobes),
    ]


def test_a_structure_that_no_case_has_is_named() -> None:
    check_wanted(["liver"], ["liver", "li*"])
    with pytest.raises(SegVolError, match=r"labelled for splen\. The labels are liver"):
        check_wanted(["liver"], ["liver", "splen"])


@pytest.mark.parametrize("wrong", ["lungs", "=a", "lungs=", "lungs= , "])
def test_what_is_no_group_is_refused(wrong: str) -> None:
    with pytest.raises(SegVolError, match="is no group"):
        parse_groups([wrong])
    with pytest.raises(SegVolError, match="is no group"):
        parse_groups(["a=b", "a=c"])
