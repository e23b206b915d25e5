"""`segvol organs`, `segvol info`, `segvol download`, and `segvol` itself."""

from __future__ import annotations

import functools
import io
import json
import platform
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import SimpleITK
import torch
import typer
from command_line import assert_refused, run
from geometry_strategies import rotation
from small_config import SMALL
from stand_in_hub import StandInHub, running_hub
from typer.testing import CliRunner, Result

from segvol_core import __version__, download, organs
from segvol_core.cli.app import app
from segvol_core.cli.command_group import CommandGroup
from segvol_core.cli.options import VerboseOption
from segvol_core.errors import SegVolWarning
from segvol_core.model.segvol import SegVol
from segvol_core.weights import load_model, save_model

CROP = Path(__file__).parents[1] / "data" / "ct_crop.nii.gz"
COMMANDS = [command.name or command.callback.__name__ for command in app.registered_commands]


# segvol


@pytest.mark.parametrize("arguments", [(), ("--help",)])
def test_without_a_command_there_is_help(arguments):
    result = run(*arguments)
    assert result.exit_code == 0
    assert {"segment", "organs", "info", "download"} <= set(COMMANDS)
    for command in COMMANDS:
        assert f" {command} " in result.stdout
    assert "130 cancelled" in result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"segvol {command}" in result.stdout
    assert "--verbose" in result.stdout


def test_version():
    result = run("--version")
    assert result.exit_code == 0
    assert result.stdout == f"segvol {__version__}\n"


def test_a_command_that_does_not_exist_is_named():
    assert_refused(run("segmnet"), "No such command 'segmnet'")
    assert_refused(run("segmnet"), " See `segvol --help`.")
    assert_refused(run("--nonsense"), "No such option: --nonsense. See `segvol --help`.")


# segvol organs


def test_all_organs_are_listed_in_the_order_of_the_vocabulary():
    result = run("organs", "--json")
    assert result.exit_code == 0
    listed = json.loads(result.stdout)
    assert [each["name"] for each in listed] == [organ.name for organ in organs.vocabulary()]
    liver = next(each for each in listed if each["name"] == "liver")
    organ = organs.find("liver")
    assert liver == {
        "name": "liver",
        "segment": "Liver",
        "group": organ.group,
        "side": None,
        "synonyms": list(organ.synonyms),
        "prompt": organ.prompt,
        "spellings": list(organ.spellings),
        "color": list(organ.color),
        "terminology": organ.terminology_entry(),
    }


def test_the_table_has_a_line_for_each_organ_and_says_how_many_are_not_trained():
    result = run("organs")
    for organ in organs.vocabulary():
        assert f" {organ.name} " in result.stdout
    unseen = sum(not organ.trained for organ in organs.vocabulary())
    last = result.stdout.splitlines()[-1]
    assert last.startswith(f"{len(organs.vocabulary())} organs; ")
    assert f" {unseen} of them" in last


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("liver", "liver"),
        ("gall bladder", "gallbladder"),
        ("kidny", "kidney"),
        ("IVC", "inferior vena cava"),
        ("lung lobe", None),
    ],
)
def test_a_query_finds_what_it_may_mean_and_the_best_first(query, first):
    names = [each["name"] for each in json.loads(run("organs", query, "--json").stdout)]
    assert len(names) == len(set(names)) > 0
    if first is not None:
        assert names[0] == first


def test_a_query_may_be_a_group():
    group = organs.find("heart").group
    names = [each["name"] for each in json.loads(run("organs", group.upper(), "--json").stdout)]
    assert names == [organ.name for organ in organs.vocabulary() if organ.group == group]


def test_a_query_that_is_like_no_organ_is_exit_code_3():
    result = run("organs", "xyzzyq")
    assert result.exit_code == 3
    assert result.stdout == ""
    assert result.stderr == "No organ has a name like “xyzzyq”.\n"
    result = run("organs", "xyzzyq", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (3, [])


def test_a_query_that_is_too_long_is_refused():
    assert_refused(run("organs", "liver " * 100), "A name may have 200 characters")


# segvol info


def test_info_describes_this_computer(monkeypatch, tmp_path, small):
    monkeypatch.setenv("SEGVOL_HOME", str(tmp_path))
    found = json.loads(run("info", "--json").stdout)
    assert found["segvol"] == __version__
    assert found["python"] == platform.python_version()
    assert found["torch"] == torch.__version__
    assert found["threads"] == torch.get_num_threads()
    assert found["memory_bytes"] > 2**28
    assert found["default_device"] in [device["name"] for device in found["devices"]]
    starter, segvol = found["weights"]
    assert starter["name"] == "starter"
    assert segvol == {
        "name": "segvol",
        "file": None,
        "bytes": None,
        "problem": segvol["problem"],
    }
    assert "Run `segvol download`" in segvol["problem"]

    save_model(small, tmp_path / "segvol.ckpt")
    segvol = json.loads(run("info", "--json").stdout)["weights"][1]
    assert segvol["file"] == str(tmp_path / "segvol.ckpt")
    assert segvol["bytes"] == (tmp_path / "segvol.ckpt").stat().st_size
    lines = run("info").stdout.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["SegVol", "Python", "PyTorch", "System"]
    assert any(line.startswith("Device") and "used by default" in line for line in lines)
    assert any(f"segvol: {tmp_path / 'segvol.ckpt'}" in line for line in lines)


@pytest.mark.parametrize("orientation", ["LPS", "RAS", "PIR", "ASL", "SRP"])
def test_info_describes_a_ct(tmp_path, orientation):
    image = SimpleITK.DICOMOrient(SimpleITK.ReadImage(str(CROP)), orientation)
    SimpleITK.WriteImage(image, str(tmp_path / "ct.nii.gz"))
    result = run("info", tmp_path / "ct.nii.gz", "--json")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    values = SimpleITK.GetArrayFromImage(image)
    assert found["shape_ijk"] == list(image.GetSize())
    assert found["spacing_ijk"] == pytest.approx([3, 3, 3])
    assert found["orientation"] == orientation
    assert found["oblique_degrees"] == pytest.approx(0, abs=0.01)
    assert found["voxel_type"] == "int16"
    assert (found["lowest"], found["highest"]) == (values.min(), values.max())
    assert found["low_ras"] == pytest.approx([2.0437, 95.319, 304.302], abs=1e-3)
    assert found["high_ras"] == pytest.approx([143.0437, 236.319, 397.302], abs=1e-3)
    assert found["warnings"] == []


def test_info_tells_an_oblique_volume_of_odd_values(tmp_path):
    voxels = np.arange(6 * 7 * 8, dtype=np.float32).reshape(6, 7, 8)
    image = SimpleITK.GetImageFromArray(voxels)
    image.SetDirection(rotation((0, 0, np.radians(20))).ravel().tolist())
    image.SetSpacing((0.7, 0.8, 2.5))
    SimpleITK.WriteImage(image, str(tmp_path / "mr.nrrd"))
    result = run("info", tmp_path / "mr.nrrd")
    assert result.exit_code == 0
    assert result.stderr.startswith("Warning: The values run from 0 to 335, none negative")
    lines = dict(line.split("  ", 1) for line in result.stdout.splitlines())
    lines = {title: value.strip() for title, value in lines.items()}
    assert lines["Voxels (i, j, k)"] == "8 x 7 x 6"
    assert lines["Spacing"] == "0.7 x 0.8 x 2.5 mm"
    assert lines["Orientation"] == "LPS, oblique by 20.0 degrees"
    assert lines["Values"] == "0 to 335 HU (float32)"


def test_info_refuses_what_is_no_ct(tmp_path):
    assert_refused(run("info", tmp_path / "gone.nrrd"), "There is no file or folder")
    assert_refused(run("info", CROP, "--series", "1.2"), "chosen in a folder")


# segvol download


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where downloads go; and downloads are of a small network."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SEGVOL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
    for name in ("download_segvol", "install_segvol"):
        of_small_network = functools.partial(getattr(download, name), config=SMALL)
        monkeypatch.setattr(download, name, of_small_network)
    huggingface_hub.close_session()
    yield tmp_path / "home"
    huggingface_hub.close_session()


@pytest.fixture
def published(small: SegVol) -> bytes:
    file = io.BytesIO()
    torch.save({f"model.{name}": tensor for name, tensor in small.state_dict().items()}, file)
    return file.getvalue()


@pytest.fixture
def hub(home: Path, published: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandInHub]:
    with running_hub({"pytorch_model.bin": published}) as running:
        fetch = functools.partial(download.download_segvol, endpoint=running.endpoint)
        monkeypatch.setattr(download, "download_segvol", fetch)
        yield running


def test_download_puts_the_weights_where_they_are_found(hub, home, published):
    result = run("download")
    assert result.exit_code == 0, result.output
    assert result.stdout == (
        f"The published weights are in {home / 'segvol.ckpt'}; use them with --weights segvol.\n"
    )
    assert result.stderr == ""
    assert (home / "segvol.ckpt").read_bytes() == published
    load_model("segvol", config=SMALL)
    assert len(hub.content_requests) == 1
    assert run("download").exit_code == 0
    assert len(hub.content_requests) == 1


def test_download_of_a_revision_that_does_not_exist_is_refused(hub, home):
    assert_refused(run("download", "--revision", "v9"), "(revision v9) (status 404)")
    assert not (home / "segvol.ckpt").exists()


def test_download_from_a_file(home, tmp_path, published):
    copy = tmp_path / "pytorch_model.bin"
    copy.write_bytes(published)
    result = run("download", "--from", copy)
    assert result.exit_code == 0
    assert (home / "segvol.ckpt").read_bytes() == published
    assert copy.read_bytes() == published


def test_download_from_what_is_no_checkpoint_is_refused(home, tmp_path):
    (tmp_path / "page.bin").write_text("<html>Sign in</html>")
    assert_refused(run("download", "--from", tmp_path / "page.bin"), "is a web page")
    assert_refused(run("download", "--from", tmp_path / "gone.bin"), "There is no file")
    assert not (home / "segvol.ckpt").exists()


def test_download_without_a_network_says_what_to_do(home, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert_refused(run("download"), "run `segvol download --from FILE`")


def test_a_cancelled_download_keeps_what_it_has(hub, home, published, monkeypatch):
    fetch = download.download_segvol

    def until_half(*, progress, **options):
        def cancel(step, done, total):
            progress(step, done, total)
            if done > 0:
                raise KeyboardInterrupt

        return fetch(progress=cancel, **options)

    monkeypatch.setattr(download, "download_segvol", until_half)
    result = run("download")
    assert result.exit_code == 130
    # The server's thread may complain, too.
    assert result.stderr.endswith("Cancelled.\n")
    (partial,) = home.glob("*.partial")
    begun = partial.read_bytes()
    assert published.startswith(begun)
    monkeypatch.setattr(download, "download_segvol", fetch)
    assert run("download").exit_code == 0
    assert (home / "segvol.ckpt").read_bytes() == published
    if len(begun) < len(published):
        assert hub.content_requests[-1] == f"bytes={len(begun)}-"


# What commands have in common


@pytest.fixture
def command() -> Callable[..., Result]:
    """Run a command of a command line of its own, which does what it is given."""

    def run_it(work: Callable[[], None], *options: str) -> Result:
        own = typer.Typer(cls=CommandGroup)

        @own.callback()
        def group() -> None:
            pass

        @own.command()
        def do(verbose: VerboseOption = False) -> None:
            work()

        return CliRunner().invoke(own, ["do", *options])

    return run_it


def warn_twice() -> None:
    warnings.warn("Mind\nthe gap.", SegVolWarning, stacklevel=1)
    warnings.warn("This will be removed in 3.0.", DeprecationWarning, stacklevel=1)


def test_our_warnings_are_lines_and_those_of_libraries_are_for_the_curious(command):
    assert command(warn_twice).stderr == "Warning: Mind the gap.\n"
    assert command(warn_twice, "--verbose").stderr == (
        "Warning: Mind the gap.\nDeprecationWarning: This will be removed in 3.0.\n"
    )


def test_a_question_that_is_answered_with_ctrl_c_cancels(command):
    def abort() -> None:
        raise typer.Abort

    assert command(abort).exit_code == 130


def test_an_exit_code_of_a_command_is_that_of_the_program(command):
    def leave() -> None:
        raise typer.Exit(7)

    assert command(leave).exit_code == 7
