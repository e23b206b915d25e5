"""What `segvol segment` refuses, and what it never overwrites."""

from __future__ import annotations

import shutil

import pytest
import SimpleITK
from command_line import assert_refused, run
from segment_command import BOX, POINT, masks_in


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
