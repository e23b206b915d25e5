"""The versions that were tested are installed where they fit, and others where they do not."""

from __future__ import annotations

import os
import sys
import venv
from pathlib import Path
from typing import Any

import pytest
from package_place import end_of
from small_wheels import make_wheel

from segvol_core.packages.job import JobDone, JobState, PackageJob
from segvol_core.packages.status import read_status
from segvol_core.user_folders import packages_folder

OTHERS = "The tested versions do not fit here: installing others that are allowed."


@pytest.fixture(params=["uv", "pip"], scope="module")
def installer(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """A Python with uv, and one without."""
    if request.param == "uv":
        return {"python": Path(sys.executable)}
    folder = tmp_path_factory.mktemp("python")
    venv.create(folder, with_pip=True)
    environment = {**os.environ, "PATH": "/usr/bin:/bin", "PIP_CONFIG_FILE": os.devnull}
    return {"python": folder / "bin" / "python", "environment": environment}


def install(
    tmp_path: Path, installer: dict[str, Any], tested: str, versions: list[str]
) -> tuple[JobState, dict[str, str]]:
    wheels, required = tmp_path / "wheels", tmp_path / "requirements.txt"
    for version in versions:
        make_wheel(wheels, "alpha", version)
    required.write_text("alpha>=1\n")
    constraints = tmp_path / "constraints.txt"
    constraints.write_text(f"# tested\n{tested}\nbeta==7\n")
    job = PackageJob(
        "install",
        packages_folder(),
        wheels=wheels,
        requirements_file=required,
        constraints_file=constraints,
        **installer,
    )
    ended = end_of(job)
    return ended, dict(read_status(packages_folder(), requirements_file=required).versions)


def test_the_tested_version_is_taken_and_not_the_newest(tmp_path, installer):
    ended, versions = install(tmp_path, installer, "alpha==1.5", ["1.0", "1.5", "2.0"])
    assert isinstance(ended, JobDone), ended
    assert versions == {"alpha": "1.5"}
    assert OTHERS not in ended.lines


def test_any_build_of_the_tested_version_is_that_version(tmp_path, installer):
    ended, versions = install(tmp_path, installer, "alpha==1.5", ["1.5+cu130", "2.0"])
    assert isinstance(ended, JobDone), ended
    assert versions == {"alpha": "1.5+cu130"}


def test_where_the_tested_version_does_not_fit_another_is_installed(tmp_path, installer):
    ended, versions = install(tmp_path, installer, "alpha==1.5", ["1.0", "2.0"])
    assert isinstance(ended, JobDone), ended
    assert versions == {"alpha": "2.0"}
    assert OTHERS in ended.lines
