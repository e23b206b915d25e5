"""The private packages: installed, checked, repaired, updated, removed, by the real uv and pip."""

from __future__ import annotations

import json
import os
import sys
import time
import venv
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from small_wheels import break_wheel, make_uv_wheel, make_wheel
from stand_ins import is_running, kill_once_written, script, wait_until

from segvol_core.errors import PackagesError
from segvol_core.packages.job import (
    JobCancelled,
    JobDone,
    JobFailed,
    JobRunning,
    JobState,
    PackageJob,
)
from segvol_core.packages.program import Request, carry_out
from segvol_core.packages.status import MARKER, PackagesStatus, read_status
from segvol_core.user_folders import log_folder, packages_folder


@dataclass(frozen=True)
class Place:
    """A folder of private packages, the wheels and the list it is made from."""

    folder: Path
    wheels: Path
    requirements: Path
    python: Path

    def require(self, *requirements: str) -> None:
        self.requirements.write_text("\n".join(["# required", *requirements]))

    def start(self, operation: Any, **options: Any) -> PackageJob:
        return PackageJob(
            operation,
            self.folder,
            self.python,
            **{"wheels": self.wheels, "requirements_file": self.requirements, **options},
        )

    def run(self, operation: Any, **options: Any) -> JobState:
        return end_of(self.start(operation, **options))

    def status(self) -> PackagesStatus:
        return read_status(self.folder, requirements_file=self.requirements)

    def beside(self) -> set[str]:
        """What is in the folder's parent, but for the lock."""
        return {path.name for path in self.folder.parent.iterdir()} - {f"{self.folder.name}.lock"}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Wheels of alpha 1, which needs beta 1, and the list that requires alpha."""
    wheels = tmp_path / "wheels"
    make_wheel(wheels, "alpha", "1.0", requires=["beta"])
    make_wheel(wheels, "beta", "1.0")
    place = Place(packages_folder(), wheels, tmp_path / "requirements.txt", Path(sys.executable))
    place.require("alpha>=1")
    return place


@pytest.fixture
def installed(place: Place) -> Place:
    assert isinstance(place.run("install"), JobDone)
    return place


@pytest.fixture(scope="session")
def python_with_pip_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python of its own that has pip and no uv."""
    folder = tmp_path_factory.mktemp("python")
    venv.create(folder, with_pip=True)
    return folder / "bin" / "python"


@pytest.fixture
def no_uv_on_path(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "PATH": "/usr/bin:/bin", "PIP_CONFIG_FILE": os.devnull}


def end_of(job: PackageJob, seconds: float = 60.0) -> JobState:
    """How a job ends, with all its lines."""
    lines: list[str] = []

    def ended() -> bool:
        state = job.poll()
        lines.extend(state.lines)
        return not isinstance(state, JobRunning)

    wait_until(ended, seconds)
    return replace(job.poll(), lines=tuple(lines))


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


def slow_wheel(place: Place) -> None:
    """Require a package that takes its time to load, so that the job is busy meanwhile."""
    make_wheel(place.wheels, "gamma", "1.0", source="import time; time.sleep(60)")
    place.require("gamma")


def wait_for_line(job: PackageJob, line: str) -> None:
    wait_until(lambda: line in job.poll().lines)


def test_a_second_installation_is_refused_meanwhile(place):
    slow_wheel(place)
    first = place.start("install")
    wait_for_line(first, "Trying the new packages.")
    assert "Another installation is at work" in place.run("install").message
    first.cancel()
    assert isinstance(end_of(first), JobCancelled)


def test_polling_does_not_wait_for_the_installation(place):
    slow_wheel(place)
    job = place.start("install")
    seconds = []
    for _ in range(100):
        before = time.monotonic()
        assert isinstance(job.poll(), JobRunning)
        seconds.append(time.monotonic() - before)
        time.sleep(0.01)
    job.cancel()
    end_of(job)
    assert sorted(seconds)[90] < 0.01


def test_the_installation_ends_when_slicer_is_killed(place, tmp_path):
    make_wheel(
        place.wheels,
        "gamma",
        "1.0",
        source=(
            "import os, pathlib, time\n"
            f"path = pathlib.Path({str(tmp_path / 'pids')!r})\n"
            "path.with_suffix('.new').write_text(f'{os.getpid()} {os.getppid()}')\n"
            "path.with_suffix('.new').rename(path)\n"
            "time.sleep(60)"
        ),
    )
    place.require("gamma")
    code = (
        "import pathlib, time\n"
        "from segvol_core.packages.job import PackageJob\n"
        f"job = PackageJob('install', pathlib.Path({str(place.folder)!r}), {sys.executable!r},\n"
        f"    wheels={str(place.wheels)!r}, requirements_file={str(place.requirements)!r})\n"
        "time.sleep(60)"
    )
    pids = kill_once_written(code, tmp_path / "pids")
    processes = [int(pid) for pid in pids.split()]
    wait_until(lambda: not any(map(is_running, processes)), 2.0)
    # What it left is no installation, and the next one clears it away.
    assert place.status().state == "missing"
    place.require("alpha>=1")
    assert isinstance(place.run("install"), JobDone)
    assert place.beside() == {place.folder.name}


@pytest.mark.parametrize(
    "moment",
    [0.0, 0.4, 0.8, 1.2, "Looking for uv.", "Installing with uv.", "Trying the new packages."],
)
def test_cancelling_at_any_moment_leaves_the_old_or_the_new(installed, moment):
    make_wheel(installed.wheels, "alpha", "2.0", requires=["beta"])
    make_wheel(installed.wheels, "beta", "2.0")
    old, new = {"alpha": "1.0", "beta": "1.0"}, {"alpha": "2.0", "beta": "2.0"}
    installed.require("alpha>=2", "beta>=2")
    job = installed.start("update")
    if isinstance(moment, str):
        wait_for_line(job, moment)
    else:
        time.sleep(moment)
    before = time.monotonic()
    job.cancel()
    assert time.monotonic() - before < 1.0
    # At once, before anything else runs, there is one of the two.
    versions = installed.status().versions
    assert versions in (old, new)
    ended = end_of(job)
    assert isinstance(ended, JobCancelled | JobDone)
    assert installed.status().versions == versions
    assert installed.beside() - {f"{installed.folder.name}.download"} == {installed.folder.name}
    installed.require("alpha>=2", "beta>=2") if versions == new else installed.require("alpha>=1")
    assert isinstance(installed.run("check"), JobDone)


def test_a_killed_job_is_said_and_leaves_the_old(installed):
    slow_wheel(installed)
    job = installed.start("update")
    wait_for_line(job, "Trying the new packages.")
    os.kill(job._tree.pid, 9)
    failed = end_of(job)
    assert failed.message.startswith("Changing the packages ended unexpectedly (ended by SIGKILL")
    assert installed.status().versions == {"alpha": "1.0", "beta": "1.0"}
    assert installed.beside() - {f"{installed.folder.name}.download"} == {installed.folder.name}
