"""Packages that are changed meanwhile, cancelled or killed: the old are left, or the new."""

from __future__ import annotations

import os
import sys
import time

import pytest
from package_place import end_of, slow_wheel, wait_for_line
from small_wheels import make_wheel
from stand_ins import is_running, kill_once_written, wait_until

from segvol_core.packages.job import (
    JobCancelled,
    JobDone,
    JobRunning,
)


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
