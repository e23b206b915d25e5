"""Stand-in programs, packages to try, and a temporary folder to see what is left in it."""

from __future__ import annotations

import os
import sys
import tempfile
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from package_place import Place
from small_wheels import make_wheel
from stand_ins import STAND_IN_SERVER, Scene, script

from segvol_core.local_server import LocalServer
from segvol_core.packages.job import JobDone
from segvol_core.user_folders import packages_folder


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Everything of the user goes below the test's folder."""
    monkeypatch.setenv("SEGVOL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The temporary folder, empty before and after every test."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture
def stand_in(tmp_path: Path) -> Callable[..., Scene]:
    """Make programs that stand for the chosen Python, or for a launcher of it."""

    def make(behaviour: str = "serves", *, launcher: bool = False) -> Scene:
        folder = tmp_path / "scene"
        folder.mkdir(exist_ok=True)
        command = [sys.executable, str(STAND_IN_SERVER), behaviour, str(folder)]
        start = (
            "import subprocess\nsys.exit(subprocess.call(command))"
            if launcher
            else "os.execv(command[0], command)"
        )
        return Scene(
            script(
                tmp_path / "python",
                f"import os, sys\ncommand = {command!r} + sys.argv[1:]\n{start}",
            ),
            folder,
        )

    return make


@pytest.fixture
def start_server() -> Iterator[Callable[..., LocalServer]]:
    """Start servers that are stopped at the end of the test."""
    servers: list[LocalServer] = []

    def start(python: Path, **options: Any) -> LocalServer:
        server = LocalServer(python, **options)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.stop()


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
