"""Stand-in programs, and a temporary folder of the test's own to see what is left in it."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from stand_ins import STAND_IN_SERVER, Scene, script

from segvol_core.local_server import LocalServer


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
