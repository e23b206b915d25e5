"""What can go wrong with packages is said, and leaves what was there."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from package_place import Place
from small_wheels import break_wheel, make_wheel
from stand_ins import script

from segvol_core.errors import PackagesError
from segvol_core.packages.job import (
    JobFailed,
)
from segvol_core.packages.program import Request, carry_out


def failing(place: Place, problem: str) -> str:
    """Bring about a problem, and give the sentence for it."""
    if problem == "missing wheel":
        place.require("alpha", "delta>=3")
        return "has no wheel of delta that fits this computer and this Python."
    if problem == "missing dependency":
        make_wheel(place.wheels, "gamma", "1.0", requires=["delta"])
        place.require("gamma")
        return "has no wheel of delta that fits this computer and this Python."
    if problem == "broken wheel":
        break_wheel(make_wheel(place.wheels, "gamma", "1.0"))
        place.require("gamma")
        return f"The package file of gamma is damaged; copy it to {place.wheels} again."
    if problem == "does not load":
        make_wheel(place.wheels, "gamma", "1.0", source="raise OSError('libcuda.so is missing')")
        place.require("gamma")
        return "gamma is installed and does not load: OSError: libcuda.so is missing."
    if problem == "ends Python":
        make_wheel(place.wheels, "gamma", "1.0", source="import ctypes; ctypes.string_at(0)")
        place.require("gamma")
        return "gamma is installed, and importing it ends Python."
    assert problem == "no wheels"
    for wheel in place.wheels.iterdir():
        wheel.unlink()
    place.require("alpha", "beta", "gamma")
    return f"There are no wheels in {place.wheels}."


@pytest.mark.parametrize(
    "problem",
    [
        "missing wheel",
        "missing dependency",
        "broken wheel",
        "does not load",
        "ends Python",
        "no wheels",
    ],
)
def test_a_failed_update_is_said_and_leaves_what_was_there(installed, problem):
    old = sorted((path, path.stat().st_ino) for path in installed.folder.rglob("*"))
    sentence = failing(installed, problem)
    failed = installed.run("update")
    assert isinstance(failed, JobFailed)
    assert sentence in failed.message
    assert failed.message.endswith(f"The log is {failed.log_file}.")
    assert installed.beside() - {f"{installed.folder.name}.download"} == {installed.folder.name}
    assert sorted((path, path.stat().st_ino) for path in installed.folder.rglob("*")) == old
    installed.require("alpha>=1")
    assert installed.status().state == "ready"


def test_no_internet_is_said(place):
    closed = "http://user:secret@127.0.0.1:9"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PIP_")},
        **dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"), closed),
        **dict.fromkeys(("https_proxy", "http_proxy", "all_proxy"), closed),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_RETRIES": "0",
        "UV_HTTP_RETRIES": "0",
        "UV_NO_CONFIG": "1",
    }
    failed = place.run("install", wheels=None, environment=environment)
    assert "The package index cannot be reached. Check the internet connection" in failed.message
    assert "HTTPS_PROXY; or install from a folder of wheels." in failed.message
    assert "secret" not in failed.log_file.read_text() + str(failed)


def test_a_full_disk_is_said_before_anything_is_fetched(place, monkeypatch):
    request = Request("install", place.folder, place.python, place.wheels, place.requirements)
    free = (10**12, 10**12, 1_234_000_000)
    monkeypatch.setattr("shutil.disk_usage", lambda _path: type("Usage", (), {"free": free[2]}))
    with pytest.raises(PackagesError, match=r"GB are needed .* and 1\.2 GB are free") as caught:
        carry_out(request)
    assert str(place.folder.parent) in str(caught.value)
    assert place.beside() == set()


def test_a_folder_that_cannot_be_written_is_said(place, tmp_path):
    (tmp_path / "file").write_text("")
    failed = replace(place, folder=tmp_path / "file" / "py").run("install")
    assert "cannot be written to (File exists). Name another folder in SEGVOL_HOME" in (
        failed.message
    )


def test_a_python_that_is_not_there_is_said(place, tmp_path):
    failed = replace(place, python=tmp_path / "nowhere").run("install")
    assert failed.message == f"{tmp_path / 'nowhere'} cannot be started: No such file or directory."


def test_a_python_that_is_too_old_is_said(place, tmp_path):
    old = script(
        tmp_path / "old python",
        "import runpy, sys\n"
        "sys.version_info = (3, 9, 10, 'final', 0)\n"
        "del sys.argv[0]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')",
    )
    failed = replace(place, python=old).run("install")
    assert failed.message.startswith("SegVol needs Python 3.10 or newer; ")
    assert not place.folder.parent.exists()


def test_a_program_that_is_no_python_is_said(place, tmp_path):
    failed = replace(place, python=Path("/bin/false")).run("install")
    assert failed.message.startswith("Changing the packages ended unexpectedly (exit code 1).")
