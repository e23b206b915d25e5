"""The private packages: installed, checked, repaired, updated, removed, by the real uv and pip."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest
from package_place import end_of, slow_wheel, wait_for_line
from small_wheels import make_uv_wheel, make_wheel
from stand_ins import script

from segvol_core.packages.job import (
    JobCancelled,
    JobDone,
    JobFailed,
)
from segvol_core.packages.status import MARKER, read_status
from segvol_core.user_folders import log_folder


def test_installing_from_a_folder_of_wheels_needs_no_internet(place, temporary):
    assert place.status().state == "missing"
    done = place.run("install")
    assert done.message == f"2 packages are installed in {place.folder}."
    assert "Installing with uv." in done.lines
    assert any("alpha==1.0" in line for line in done.lines)
    assert place.status().state == "ready"
    assert place.status().versions == {"alpha": "1.0", "beta": "1.0"}
    assert place.beside() == {place.folder.name}
    assert "Installing with uv.\n" in (next(log_folder().iterdir())).read_text()
    assert not list(log_folder().glob("*.result.json"))


def test_installing_again_changes_nothing(installed):
    marker = (installed.folder / MARKER).stat()
    assert installed.run("install").message == "Everything is there already."
    assert installed.run("repair").message == "Everything is there already."
    assert (installed.folder / MARKER).stat().st_ino == marker.st_ino


def test_a_check_tries_the_packages_in_the_chosen_python(installed):
    done = installed.run("check")
    assert done.message == f"The packages work: Python {sys.version.split()[0]}."
    assert done.report["python"] == sys.version.split()[0]


def test_a_check_of_nothing_says_so(place):
    failed = place.run("check")
    assert failed.message.startswith(f"No packages are installed in {place.folder}.")
    assert place.beside() == set()


def test_a_check_names_torch_and_the_device(place):
    """A torch of a few lines: the real one is checked in the test of the whole."""
    make_wheel(
        place.wheels,
        "torch",
        "9.9",
        source=(
            "class cuda:\n"
            "    is_available = staticmethod(lambda: True)\n"
            "    get_device_name = staticmethod(lambda index: 'Card')\n"
        ),
    )
    place.require("torch")
    place.run("install")
    assert place.run("check").message.endswith("PyTorch 9.9 on Card.")


def test_without_uv_pip_gets_one_of_our_own_first(place, python_with_pip_only, no_uv_on_path):
    make_uv_wheel(place.wheels)
    place = replace(place, python=python_with_pip_only)
    done = place.run("install", environment=no_uv_on_path)
    assert "Installing with uv." in done.lines
    assert place.beside() == {place.folder.name, f"{place.folder.name}.uv"}
    make_wheel(place.wheels, "gamma", "1.0")
    place.require("alpha", "gamma")
    again = place.run("update", environment=no_uv_on_path)
    assert not any("Successfully installed uv" in line for line in again.lines)
    assert json.loads((place.folder / MARKER).read_text())["installer"] == "uv"
    place.run("remove")
    assert place.beside() == set()


def test_without_uv_pip_installs(place, python_with_pip_only, no_uv_on_path):
    place = replace(place, python=python_with_pip_only)
    site_packages = python_with_pip_only.parents[1] / "lib"
    before = sorted(path for path in site_packages.rglob("*") if "__pycache__" not in path.parts)
    done = place.run(
        "install", environment={**no_uv_on_path, "PIP_USER": "1", "HOME": str(place.wheels.parent)}
    )
    assert isinstance(done, JobDone), done
    assert "Installing with pip." in done.lines
    assert place.status().state == "ready"
    assert place.beside() == {place.folder.name}
    assert json.loads((place.folder / MARKER).read_text())["installer"] == "pip"
    assert isinstance(place.run("check"), JobDone)
    # Neither the Python's own packages nor the user's.
    after = sorted(path for path in site_packages.rglob("*") if "__pycache__" not in path.parts)
    assert after == before
    assert not (place.wheels.parent / ".local").exists()


def test_through_a_launcher_as_pythonslicers_the_private_packages_come_first(place, tmp_path):
    """PythonSlicer starts another process, whose PYTHONPATH has Slicer's own packages."""
    slicers = tmp_path / "Slicer"
    slicers.mkdir()
    (slicers / "beta.py").write_text("raise ImportError('the beta of Slicer')")
    make_wheel(place.wheels, "alpha", "1.1", requires=["beta"], source="import beta")
    launcher = script(
        tmp_path / "PythonSlicer",
        "import os, subprocess, sys\n"
        f"os.environ['PYTHONPATH'] = {str(slicers)!r}\n"
        f"sys.exit(subprocess.call([{sys.executable!r}, *sys.argv[1:]]))",
    )
    place = replace(place, python=launcher)
    done = place.run("install")
    assert isinstance(done, JobDone), done
    assert "Installing with uv." in done.lines
    assert "Installing with pip." not in done.lines
    assert isinstance(place.run("check"), JobDone)
    slow_wheel(place)
    job = place.start("update")
    wait_for_line(job, "Trying the new packages.")
    job.cancel()
    assert isinstance(end_of(job), JobCancelled)
    assert place.status().versions == {"alpha": "1.1", "beta": "1.0"}


def test_an_update_installs_what_is_new_and_keeps_the_rest(installed):
    kept = (installed.folder / "alpha" / "data.bin").stat().st_ino
    make_wheel(installed.wheels, "beta", "2.0")
    make_wheel(installed.wheels, "gamma", "1.0")
    installed.require("alpha>=1", "beta>=2", "gamma")
    assert installed.status().state == "outdated"
    assert installed.run("update").message.startswith("3 packages are installed")
    assert installed.status().versions == {"alpha": "1.0", "beta": "2.0", "gamma": "1.0"}
    assert (installed.folder / "alpha" / "data.bin").stat().st_ino == kept
    assert isinstance(installed.run("check"), JobDone)


def test_an_update_removes_what_is_not_needed_any_more(installed):
    installed.require("beta")
    installed.run("update")
    assert installed.status().versions == {"beta": "1.0"}
    assert not (installed.folder / "alpha").exists()


@pytest.mark.parametrize("damage", ["metadata gone", "file gone", "file cut off"])
def test_damage_is_found_and_repaired(installed, damage):
    if damage == "metadata gone":
        for path in (installed.folder / "beta-1.0.dist-info").iterdir():
            path.unlink()
        (installed.folder / "beta-1.0.dist-info").rmdir()
        assert installed.status().state == "damaged"
    elif damage == "file gone":
        (installed.folder / "beta" / "data.bin").unlink()
    else:
        (installed.folder / "beta" / "data.bin").write_bytes(b"")
    failed = installed.run("check")
    assert isinstance(failed, JobFailed)
    assert "epair" in failed.message
    assert isinstance(installed.run("repair"), JobDone)
    assert isinstance(installed.run("check"), JobDone)
    assert installed.beside() == {installed.folder.name}


def test_packages_for_another_python_are_not_taken_for_ready(installed):
    status = read_status(
        installed.folder, python_version=(3, 9), requirements_file=installed.requirements
    )
    assert status.state == "other python"


def test_removing_leaves_nothing(installed):
    assert installed.run("remove").message == "The packages were removed."
    assert installed.beside() == set()
    assert installed.status().state == "missing"


@pytest.mark.parametrize("operation", ["install", "update", "repair", "remove"])
def test_what_segvol_did_not_put_there_is_never_touched(place, operation):
    place.folder.mkdir(parents=True)
    (place.folder / "thesis.txt").write_text("my only copy")
    failed = place.run(operation)
    assert "holds something that SegVol did not put there" in failed.message
    assert (place.folder / "thesis.txt").read_text() == "my only copy"
    assert place.beside() == {place.folder.name}
