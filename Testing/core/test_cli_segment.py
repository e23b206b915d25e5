"""`segvol segment`: what is in the files, what is printed, and what is refused."""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK
import slicerio
import torch
from command_line import assert_refused, run
from small_config import SMALL
from typer.testing import Result

from segvol_core import organs
from segvol_core.cli import segmenting
from segvol_core.model.segvol import SegVol
from segvol_core.prompts import Box, Point, Prompts, box_from_ijk, point_from_ijk
from segvol_core.session import Session
from segvol_core.volume import Volume
from segvol_core.volume_io import read_volume
from segvol_core.weights import load_model, save_model

Segment = Callable[..., Result]

CROP = Path(__file__).parents[1] / "data" / "ct_crop.nii.gz"
POINT = "-12,3.5,4"
BOX = "-40,-40,-20,30,35,25"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="module")
def ct(folder: Path) -> Path:
    """A real CT whose axes run to the left, back and up, with the origin in its middle."""
    image = SimpleITK.DICOMOrient(SimpleITK.ReadImage(str(CROP)), "LPS")
    middle = image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()])
    image.SetOrigin(np.subtract(image.GetOrigin(), middle).tolist())
    SimpleITK.WriteImage(image, str(folder / "ct.nii.gz"))
    return folder / "ct.nii.gz"


@pytest.fixture(scope="module")
def volume(ct: Path) -> Volume:
    return read_volume(ct)


@pytest.fixture(scope="module")
def weights(folder: Path, small: SegVol) -> Path:
    save_model(small, folder / "tiny.safetensors")
    return folder / "tiny.safetensors"


@pytest.fixture(scope="module")
def session(volume: Volume, weights: Path) -> Session:
    return Session(load_model(weights), volume)


@pytest.fixture(scope="module")
def choosy_weights(folder: Path) -> Path:
    """A network that marks every voxel for "liver" and none for "spleen" or a point."""
    torch.manual_seed(0)
    model = SegVol(SMALL).eval()
    decoder = model.mask_decoder
    with torch.no_grad():
        liver, spleen = model.text_encoder([organs.find(n).prompt for n in ("liver", "spleen")])
        decoder.output_upscaling[3].weight.fill_(0)
        decoder.output_upscaling[3].bias.fill_(1)
        decoder.output_hypernetworks_mlps[0].layers[2].weight.fill_(0)
        decoder.output_hypernetworks_mlps[0].layers[2].bias.fill_(0)
        towards_liver = liver - spleen
        decoder.txt_align_upscaled_embedding.weight.copy_(
            towards_liver.expand(decoder.txt_align_upscaled_embedding.weight.shape)
        )
        decoder.txt_align_upscaled_embedding.bias.fill_(-towards_liver @ (liver + spleen) / 2)
    save_model(model, folder / "choosy.safetensors")
    return folder / "choosy.safetensors"


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Path]:
    """Where to write; whatever happens, nothing unfinished stays there."""
    yield tmp_path / "out.seg.nrrd"
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []


@pytest.fixture
def segment(ct: Path, weights: Path, out: Path) -> Segment:
    """Run `segvol segment` with the tiny network; later options go before earlier ones."""

    def with_options(*options: object) -> Result:
        return run("segment", ct, "-o", out, "--weights", weights, *options)

    return with_options


def masks_in(path: Path) -> dict[str, npt.NDArray[np.bool_]]:
    """Masks (k, j, i) of a .seg.nrrd by name."""
    found = slicerio.read_segmentation(str(path))
    return {s["name"]: slicerio.segment_mask(found, s).T for s in found["segments"]}


def only_mask_in(path: Path) -> npt.NDArray[np.bool_]:
    (mask,) = masks_in(path).values()
    return mask


def terminology_of(written: dict[str, Any]) -> str:
    return slicerio.segmentation.terminology_entry_to_string(written["terminology"])


# What is written


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
    # The mask covers the volume, so that both ways of placing windows come to the same.
    assert np.array_equal(only_mask_in(out), expected)
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


# What is printed


def test_a_segment_from_a_click_is_named_on_request(segment: Segment) -> None:
    result = segment("--point", POINT, "--identify", "--json")
    (each,) = json.loads(result.stdout)["segments"]
    assert len(each["names"]) == 3
    assert all(organs.find(name).name == name for name in each["names"])
    shares = list(each["names"].values())
    assert shares == sorted(shares, reverse=True)
    assert 0 < sum(shares) <= 1
    assert "could be:" in segment("--point", POINT, "--identify", "--overwrite").stdout


def test_what_was_asked_for_by_name_is_not_named_again(segment: Segment) -> None:
    result = segment("--text", "liver", "--identify", "--json")
    assert json.loads(result.stdout)["segments"][0]["names"] == {}


def test_json_says_what_was_written_and_how_long_it_took(segment, out, ct, weights, volume):
    result = segment("--text", "liver,spleen", "--json")
    printed = json.loads(result.stdout)
    assert result.stderr == ""
    assert printed["device"] == "cpu"
    assert printed["weights"] == str(weights)
    assert printed["windows"] == "lattice"
    assert printed["precision"] == "float32"
    assert printed["files"] == [str(out)]
    assert printed["warnings"] == []
    assert [each["name"] for each in printed["segments"]] == ["Liver", "Spleen"]
    assert [each["text"] for each in printed["segments"]] == ["liver", "spleen"]
    for each, mask in zip(printed["segments"], masks_in(out).values(), strict=True):
        assert each["voxels"] == np.count_nonzero(mask)
        assert each["millilitres"] == pytest.approx(each["voxels"] * 27 / 1000)
        assert each["file"] == str(out)
        assert 0 < each["coarse_seconds"] <= each["final_seconds"]
    seconds = printed["seconds"]
    steps = [seconds[name] for name in ("start", "read", "load", "prepare", "segment", "write")]
    assert min(steps) >= 0
    assert sum(steps) <= seconds["total"]
    assert seconds["first_mask"] == printed["segments"][0]["coarse_seconds"]


def test_people_get_a_table(segment, out):
    result = segment("--text", "liver,spleen")
    lines = result.stdout.splitlines()
    assert lines[0].split() == [
        "Segment", "Millilitres", "Voxels", "Coarse", "mask", "Final", "mask"
    ]  # fmt: skip
    assert [line.split()[0] for line in lines[1:3]] == ["Liver", "Spleen"]
    assert str(np.count_nonzero(masks_in(out)["Liver"])) in lines[1]
    assert f"Wrote {out}" in lines
    assert " s on cpu (start " in lines[-1]


def test_a_volume_that_is_hardly_a_ct_gives_a_warning_and_a_result(segment, ct, tmp_path, weights):
    brighter = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(ct))) + 1024
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(brighter), str(tmp_path / "mr.nrrd"))
    out = tmp_path / "out.nrrd"
    command = ("segment", tmp_path / "mr.nrrd", "-o", out, "--weights", weights, "-t", "liver")
    result = run(*command, "--json")
    assert result.exit_code == 0
    assert result.stderr.startswith("Warning: The values run from 0 to ")
    assert result.stderr.count("\n") == 1
    (warning,) = json.loads(result.stdout)["warnings"]
    assert result.stderr == f"Warning: {warning}\n"
    assert out.exists()


def test_without_other_weights_the_bundled_starter_is_used(ct, out):
    result = run("segment", ct, "-o", out, "--box", BOX, "--json")
    # What it finds in a box at any place is its own affair; the model card measures that.
    assert result.exit_code in (0, 3), result.output
    assert json.loads(result.stdout)["weights"] == "starter"
    assert list(masks_in(out)) == ["Segment"]


# When nothing is found


def test_nothing_found_is_exit_code_3_and_an_empty_segment(segment, out, choosy_weights):
    result = segment("--weights", choosy_weights, "--text", "spleen", "--json")
    assert result.exit_code == 3
    assert result.stderr.startswith("Warning: Spleen: Nothing was found")
    assert json.loads(result.stdout)["segments"][0]["voxels"] == 0
    assert not only_mask_in(out).any()


def test_nothing_at_a_click_is_exit_code_3_too(segment, out, choosy_weights):
    result = segment("--weights", choosy_weights, "--point", POINT)
    assert result.exit_code == 3
    assert "Warning: Segment: Nothing was found" in result.stderr
    assert not only_mask_in(out).any()


def test_one_empty_segment_among_others_is_a_warning_only(segment, out, choosy_weights):
    result = segment("--weights", choosy_weights, "--text", "liver, spleen")
    assert result.exit_code == 0
    assert result.stderr.startswith("Warning: Spleen: Nothing was found")
    assert result.stderr.count("\n") == 1
    masks = masks_in(out)
    assert masks["Liver"].all()
    assert not masks["Spleen"].any()


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "There is no prompt: give --text, --point or --box."),
        (("--negative-point", POINT), "only negative points"),
        (("--text", "livr"), "Did you mean liver?"),
        (("--text", "livr"), "`segvol organs` lists them; --free-text passes any text"),
        (("--text", "kidny left"), "Did you mean left kidney"),
        (("--text", "parotid"), "needs a side"),
        (("--text", " , "), "No organ name was given"),
        (("--text", "liver,spleen", "--point", POINT), "but there are 2 names"),
        (("--text", "liver,spleen", "--box-ijk", "1,1,1,9,9,9"), "but there are 2 names"),
        (("--text", "liver,spleen", "--name", "Both"), "--name is for one segment"),
        (("--point", POINT, "--name", " "), "--name must be text on one line"),
        (("--point", POINT, "--name", "a\nb"), "--name must be text on one line"),
        (("--free-text", "--text", ""), "No text was given"),
        (("--point", "1,2"), "--point needs R,A,S in millimetres, such as 12.5,-40,100"),
        (("--point", "1,2,3,4"), "not “1,2,3,4”"),
        (("--point", "1,2,nan"), "--point needs R,A,S"),
        (("--point", "1,,3"), "--point needs R,A,S"),
        (("--negative-point", "a,b,c", "--point", POINT), "--negative-point needs R,A,S"),
        (("--box", "1,2,3"), "--box needs two opposite corners"),
        (("--point-ijk", "1.5,2,3"), "“1.5,2,3” is not whole numbers"),
        (("--negative-point-ijk", "x"), "--negative-point-ijk needs a voxel i,j,k"),
        (("--box-ijk", "1,2,3,4,5"), "--box-ijk needs the first and the last voxel"),
        (("--box", BOX, "--box-ijk", "1,1,1,9,9,9"), "give --box or --box-ijk"),
        (("--point", "0,0,400"), "The point at (0, 0, 400) mm (RAS) is outside the volume"),
        (("--point-ijk", "0,0,32"), "The voxel (0, 0, 32) is outside the volume of 48 x 48 x 32"),
        (("--point-ijk", "-1,0,0"), "The voxel (-1, 0, 0) is outside the volume"),
        (("--box", "300,300,300,400,400,400"), "is outside the volume"),
        (("--text", "liver", "--device", "gpu"), "There is no device “gpu”: give auto, cpu, cuda"),
        (("--text", "liver", "--device", "cuda:99"), "There is no CUDA device 99 here."),
        (("--text", "liver", "--weights", "starlet"), "give starter, segvol, or the path"),
        (("--text", "liver", "--weights", "./no/such.pth"), "There is no file no/such.pth."),
        (("--text", "liver", "--series", "1.2"), "a DICOM series is chosen in a folder"),
        (("--text", "liver", "-o", "out.png"), "out.png is no name for a segmentation"),
        (("--text", "liver", "-o", "no/such/out.nrrd"), "There is no folder no/such."),
        (("--text", "liver", "--windows", "hexagonal"), "'lattice', 'published'"),
        (("--text", "liver", "--precision", "int4"), "'float32', 'bfloat16'"),
        (("--text", "liver", "--cache-mb", "-1"), "'--cache-mb'"),
        (("--tekst", "liver"), "No such option: --tekst"),
        (("--text",), "Option '--text' requires an argument. See `segvol"),
    ],
)
def test_what_cannot_be_is_said_in_one_line_before_anything_is_written(
    segment, out, options, message
):
    assert_refused(segment(*options), message)
    assert not out.exists()


def test_the_published_weights_are_asked_for_before_they_are_downloaded(
    segment, monkeypatch, tmp_path
):
    monkeypatch.setenv("SEGVOL_HOME", str(tmp_path))
    refused = segment("--weights", "segvol", "--text", "liver")
    assert_refused(refused, "Run `segvol download`")


def test_a_web_page_saved_as_weights_is_recognised(segment, tmp_path):
    page = tmp_path / "pytorch_model.bin"
    page.write_text("<!DOCTYPE html><html><body>Sign in</body></html>")
    assert_refused(segment("--weights", page, "--text", "liver"), "is a web page")


def test_a_missing_or_unreadable_ct_is_refused(tmp_path, out, weights):
    text_file = tmp_path / "notes.txt"
    text_file.write_text("liver looks fine")
    command = ("-o", out, "--weights", weights, "--text", "liver")
    missing = run("segment", tmp_path / "gone.nii.gz", *command)
    assert_refused(missing, "There is no file or folder")
    assert_refused(
        run("segment", text_file, *command), "notes.txt is no image that SegVol can read"
    )
    assert_refused(run("segment", tmp_path, *command), "holds no DICOM images")
    assert not out.exists()


def test_arguments_that_are_missing_are_named(ct, out):
    assert_refused(run("segment", "-o", out, "--text", "liver"), "Missing argument 'CT'")
    assert_refused(run("segment", ct, "--text", "liver"), "Missing option '--output' / '-o'")


def test_a_file_that_exists_is_replaced_only_on_request(segment, out):
    out.write_text("an hour's work")
    assert_refused(segment("--text", "liver"), "exists already; --overwrite replaces it.")
    assert out.read_text() == "an hour's work"
    assert segment("--text", "liver", "--overwrite").exit_code == 0
    assert list(masks_in(out)) == ["Liver"]


def test_with_split_the_files_that_would_be_written_count(segment, out):
    out.write_text("of another run")
    spleen = out.with_name("out_Spleen.seg.nrrd")
    spleen.write_text("an hour's work")
    assert_refused(segment("--split", "--text", "liver,spleen"), "out_Spleen.seg.nrrd exists")
    assert sorted(file.name for file in out.parent.iterdir()) == [out.name, spleen.name]
    assert segment("--split", "--text", "liver").exit_code == 0
    assert out.read_text() == "of another run"
    assert spleen.read_text() == "an hour's work"


def test_the_ct_itself_is_never_overwritten(tmp_path, ct, weights):
    mine = tmp_path / "ct.nii.gz"
    shutil.copy(ct, mine)
    command = ("--weights", weights, "--text", "liver", "--overwrite")
    assert_refused(run("segment", mine, "-o", mine, *command), "is the CT itself")
    linked = tmp_path / "linked.nii.gz"
    linked.symlink_to(mine)
    assert_refused(run("segment", mine, "-o", linked, *command), "is the CT itself")
    assert mine.read_bytes() == ct.read_bytes()


def test_a_folder_in_the_place_of_the_output_is_refused(segment, out):
    out.mkdir()
    assert_refused(segment("--text", "liver", "--overwrite"), "is a folder, not a file")


def test_a_sheared_volume_cannot_become_a_nifti(tmp_path, weights, ct):
    sheared = tmp_path / "sheared.nhdr"
    voxels = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(ct)))
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(voxels), str(sheared))
    header = sheared.read_text().splitlines()
    directions = next(n for n, line in enumerate(header) if line.startswith("space directions"))
    header[directions] = "space directions: (3,0,0) (0,3,0) (0,1,3)"
    sheared.write_text("\n".join(header) + "\n")
    command = ("segment", sheared, "--weights", weights, "--text", "liver", "-o")
    assert_refused(run(*command, tmp_path / "out.nii.gz"), "not at right angles")
    assert run(*command, tmp_path / "out.seg.nrrd").exit_code == 0


# What goes wrong


def test_verbose_adds_where_an_error_comes_from(segment):
    result = segment("--text", "liver", "--point", "0,0,400", "--verbose")
    assert result.exit_code == 2
    assert "Traceback" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("Error: The point at (0, 0, 400)")


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let writing fail: the last step, when everything has been computed."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(segmenting, "write_segmentation", fail)


def test_a_fault_of_the_program_is_exit_code_1_and_one_line(segment, monkeypatch):
    fail_with(monkeypatch, ZeroDivisionError("division\nby zero"))
    result = segment("--text", "liver")
    assert result.exit_code == 1
    assert result.stderr == (
        "Error: a fault of the program (ZeroDivisionError: division by zero). "
        "--verbose shows where.\n"
    )
    assert "Traceback" in segment("--text", "liver", "--verbose").stderr


def no_memory() -> Exception:
    """What PyTorch raises when the computer has no memory left."""
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**55)
    return raised.value


@pytest.mark.parametrize("error", [MemoryError(), no_memory()])
def test_a_computer_without_memory_is_told_so(segment, monkeypatch, error):
    fail_with(monkeypatch, error)
    result = segment("--text", "liver")
    assert result.exit_code == 1
    assert result.stderr == "Error: the memory of this computer does not suffice.\n"


def test_a_gpu_without_room_for_the_network_leaves_it_to_the_cpu(segment, monkeypatch, out):
    devices = []

    def load_where_there_is_room(weights, device):
        devices.append(str(device))
        if len(devices) == 1:
            raise torch.OutOfMemoryError
        return load_model(weights, device)

    monkeypatch.setattr(segmenting, "load_model", load_where_there_is_room)
    result = segment("--text", "liver")
    assert result.exit_code == 0
    assert result.stderr == (
        "Warning: The GPU's memory does not suffice for the network: going on with the CPU.\n"
    )
    assert devices[1] == "cpu"
    assert only_mask_in(out).any()


def test_cancelling_is_exit_code_130(segment, monkeypatch, out):
    fail_with(monkeypatch, KeyboardInterrupt())
    result = segment("--text", "liver")
    assert result.exit_code == 130
    assert result.stderr == "Cancelled.\n"
    assert not out.exists()
