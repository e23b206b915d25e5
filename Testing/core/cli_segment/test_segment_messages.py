"""What `segvol segment` prints, and what it says when nothing is found."""

from __future__ import annotations

import json

import numpy as np
import pytest
import SimpleITK
from command_line import run
from segment_command import BOX, POINT, Segment, masks_in, only_mask_in

from segvol_core import organs


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
    printed = json.loads(result.stdout)
    assert printed["segments"][0]["names"] == {}
    assert "--identify is for a segment from points or a box" in printed["warnings"][0]


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
    assert [each["label"] for each in printed["segments"]] == [1, 2]
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
        "Segment", "Label", "Millilitres", "Voxels", "Coarse", "mask", "Final", "mask"
    ]  # fmt: skip
    assert [line.split()[:2] for line in lines[1:3]] == [["Liver", "1"], ["Spleen", "2"]]
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
