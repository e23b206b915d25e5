"""What `segvol segment` writes: masks, names, colours, codes, in every format."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK
import slicerio
from command_line import assert_refused, run
from segment_command import BOX, POINT, masks_in, only_mask_in, terminology_of

from segvol_core import organs
from segvol_core.cli import segmenting
from segvol_core.prompts import Box, Point, Prompts, box_from_ijk, point_from_ijk
from segvol_core.session import Session


def test_each_name_is_a_segment_with_slicers_name_colour_and_code(segment, out, session, volume):
    result = segment("--text", "liver, kidney left", "-t", "Spleen; LIVER")
    assert result.exit_code == 0, result.output
    found = slicerio.read_segmentation(str(out))
    wanted = [organs.find(name) for name in ("liver", "left kidney", "spleen")]
    assert [s["name"] for s in found["segments"]] == ["Liver", "Left kidney", "Spleen"]
    for organ, written in zip(wanted, found["segments"], strict=True):
        assert np.rint(255 * np.array(written["color"])).tolist() == list(organ.color)
        assert terminology_of(written) == organ.terminology_entry()
        mask = slicerio.segment_mask(found, written).T
        assert np.array_equal(mask, session.mask(Prompts(text=organ.prompt)))
        assert mask.any()
    lps_of_ras = np.diag([-1, -1, 1, 1])
    assert np.allclose(lps_of_ras @ found["ijkToLPS"], volume.ijk_to_ras)


@pytest.mark.parametrize("point", [("--point", POINT), (f"--point={POINT}",)])
def test_a_point_is_in_ras_millimetres_and_may_begin_with_a_minus(segment, out, session, point):
    assert segment(*point).exit_code == 0
    expected = session.mask(Prompts((Point((-12.0, 3.5, 4.0)),)))
    assert np.array_equal(masks_in(out)["Segment"], expected)
    assert expected.any()


def test_points_box_and_one_name_are_one_segment(segment, out, session):
    result = segment(
        *("--point", POINT, "--point", "9 9 9", "--negative-point", "30,-20,10"),
        *("--box", BOX, "--text", "liver"),
    )
    assert result.exit_code == 0
    points = (Point((-12, 3.5, 4)), Point((9, 9, 9)), Point((30, -20, 10), positive=False))
    box = Box.from_bounds((-40, -40, -20), (30, 35, 25))
    assert np.array_equal(masks_in(out)["Liver"], session.mask(Prompts(points, box, "liver")))


def test_voxels_are_counted_from_zero_as_i_j_k(segment, out, session, volume):
    result = segment(
        *("--point-ijk", "20,30,15", "--negative-point-ijk", "5,40,3"),
        *("--box-ijk", "4,3,2,40,41,30"),
    )
    assert result.exit_code == 0
    points = (
        point_from_ijk(volume, (20, 30, 15)),
        point_from_ijk(volume, (5, 40, 3), positive=False),
    )
    box = box_from_ijk(volume, (4, 3, 2), (40, 41, 30))
    assert np.array_equal(only_mask_in(out), session.mask(Prompts(points, box)))


def test_each_kind_of_prompt_changes_the_mask(segment, out):
    given = [
        ("--point", POINT),
        ("--point", POINT, "--negative-point", "3,30,20"),
        ("--box", BOX),
        ("--box", BOX, "--point", POINT),
        ("--text", "liver"),
        ("--text", "liver", "--point", POINT),
    ]
    masks = []
    for prompts in given:
        assert segment(*prompts, "--overwrite").exit_code == 0
        masks.append(only_mask_in(out).tobytes())
    assert len({zlib.crc32(mask) for mask in masks}) == len(given)


def test_a_name_of_ones_own(segment, out):
    assert segment("--point", POINT, "--name", "Metastase 1, zu prüfen").exit_code == 0
    # slicerio reads ASCII only; 3D Slicer reads the header as UTF-8.
    assert "Segment0_Name:=Metastase 1, zu prüfen\n".encode() in out.read_bytes()


def test_a_clicked_segment_that_is_named_like_an_organ_gets_its_colour_and_code(segment, out):
    assert segment("--point", POINT, "--name", "left kidney").exit_code == 0
    (written,) = slicerio.read_segmentation(str(out))["segments"]
    assert written["name"] == "left kidney"
    kidney = organs.find("left kidney")
    assert np.rint(255 * np.array(written["color"])).tolist() == list(kidney.color)
    assert terminology_of(written) == kidney.terminology_entry()


def test_free_text_goes_to_the_model_as_it_is(segment, out, session):
    assert segment("--free-text", "--text", "liver, spleen", "--text", "xyzzy").exit_code == 0
    masks = masks_in(out)
    assert list(masks) == ["Liver, spleen", "Xyzzy"]
    assert np.array_equal(masks["Liver, spleen"], session.mask(Prompts(text="liver, spleen")))


def test_windows_cache_and_precision_are_those_of_the_session(segment, out, monkeypatch, session):
    used = []

    class Recorded(Session):
        def __init__(self, model, volume, **options):
            used.append(options)
            super().__init__(model, volume, **options)

    monkeypatch.setattr(segmenting, "Session", Recorded)
    assert segment("--text", "liver").exit_code == 0
    expected = session.mask(Prompts(text="liver"))
    assert np.array_equal(only_mask_in(out), expected)
    options = ("--windows", "published", "--cache-mb", "0", "--device", "cpu", "--overwrite")
    assert segment("--text", "liver", *options).exit_code == 0
    # The mask covers the volume, so that both ways of placing windows come to the same but for the
    # half precision in which the first keeps embeddings.
    assert np.mean(only_mask_in(out) != expected) < 1e-3
    assert used == [
        {"windows": "lattice", "cache_bytes": 2**30, "precision": "float32"},
        {"windows": "published", "cache_bytes": 0, "precision": "float32"},
    ]


def test_half_precision_gives_nearly_the_same_mask(segment, out, session):
    result = segment("--text", "liver", "--precision", "bfloat16", "--json")
    assert json.loads(result.stdout)["precision"] == "bfloat16"
    full = session.mask(Prompts(text="liver"))
    assert 0 < np.mean(only_mask_in(out) != full) < 0.02


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_other_suffixes_are_label_maps(segment, tmp_path, suffix, session, volume):
    file = tmp_path / f"labels{suffix}"
    result = segment("-o", file, "--text", "liver,spleen")
    assert result.exit_code == 0
    labels = read_labels(file)
    liver, spleen = (session.mask(Prompts(text=name)) for name in ("liver", "spleen"))
    assert np.array_equal(labels, np.where(spleen, 2, np.where(liver, 1, 0)))
    assert result.stderr.startswith("Warning: Segments overlap in ")


def read_labels(file: Path) -> npt.NDArray[np.integer]:
    return SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(file)))


def test_one_file_per_segment(segment, out, session):
    result = segment("--split", "--text", "liver, left kidney", "--json")
    files = [out.with_name("out_Liver.seg.nrrd"), out.with_name("out_Left_kidney.seg.nrrd")]
    assert sorted(out.parent.iterdir()) == sorted(files)
    assert np.array_equal(masks_in(files[0])["Liver"], session.mask(Prompts(text="liver")))
    printed = json.loads(result.stdout)
    assert printed["files"] == [str(file) for file in files]
    assert [each["file"] for each in printed["segments"]] == [str(file) for file in files]
    assert [each["label"] for each in printed["segments"]] == [1, 1]


def test_a_dicom_series_is_chosen_by_its_identifier(segment, tmp_path, ct, weights):
    for number, size in ((1, 20), (2, 24)):
        write_dicom(tmp_path / "dicom", f"1.2.3.{number}", SimpleITK.ReadImage(str(ct)), size)
    arguments = ("segment", tmp_path / "dicom", "--weights", weights, "--text", "liver")
    out = tmp_path / "out.nii.gz"
    assert run(*arguments, "-o", out, "--series", "1.2.3.1").exit_code == 0
    assert SimpleITK.ReadImage(str(out)).GetSize() == (20, 20, 32)
    result = run(*arguments, "-o", tmp_path / "other.nii.gz")
    assert result.stderr.startswith("Warning: The folder dicom holds 2 DICOM series")
    assert result.exit_code == 0
    refused = run(*arguments, "-o", tmp_path / "third.nii.gz", "--series", "9.9")
    assert_refused(refused, "has no DICOM series 9.9")
    assert not (tmp_path / "third.nii.gz").exists()


def write_dicom(folder: Path, series: str, image: SimpleITK.Image, size: int) -> None:
    """Write slices of a part of the image, as many pixels wide and high as `size`."""
    folder.mkdir(exist_ok=True)
    writer = SimpleITK.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for k in range(image.GetSize()[2]):
        part = SimpleITK.Cast(image[:size, :size, k : k + 1][:, :, 0], SimpleITK.sitkInt16)
        position = image.TransformIndexToPhysicalPoint((0, 0, k))
        tags = {
            "0008|0060": "CT",
            "0020|000e": series,
            "0020|000d": "1.2.3",
            "0008|0018": f"{series}.{k + 1}",
            "0020|0032": "\\".join(f"{mm:.6f}" for mm in position),
            "0020|0037": r"1\0\0\0\1\0",
            "0020|0013": str(k),
        }
        for tag, value in tags.items():
            part.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{series}_{k}.dcm"))
        writer.Execute(part)
