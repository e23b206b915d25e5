"""What the tests of processes share: programs made on the spot, and waiting for something."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segvol_core.local_server import LocalServer, Starting

STAND_IN_SERVER = Path(__file__).with_name("stand_in_server.py")


@dataclass(frozen=True)
class Scene:
    """A stand-in for the chosen Python, and what it saw."""

    python: Path
    folder: Path

    def read(self, name: str) -> Any:
        wait_until((self.folder / f"{name}.json").exists)
        return json.loads((self.folder / f"{name}.json").read_text())


def script(path: Path, source: str) -> Path:
    """Write a Python program that can be run by its path."""
    path.write_text(f"#!{sys.executable}\n{source}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> float:
    """Seconds until it was so."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < seconds, f"not within {seconds} s"
        time.sleep(0.01)
    return time.monotonic() - start


def kill_once_written(code: str, path: Path, seconds: float = 30.0) -> str:
    """Run code as Slicer would, kill it once a file is there, and return what the file says."""
    slicer = subprocess.Popen([sys.executable, "-c", code])  # noqa: S603
    try:
        wait_until(path.exists, seconds)
    finally:
        slicer.kill()
        slicer.wait()
    return path.read_text(encoding="utf-8")


def state_after_start(server: LocalServer, seconds: float = 60.0) -> Any:
    """The first state that is not `Starting`."""
    wait_until(lambda: not isinstance(server.poll(), Starting), seconds)
    return server.poll()


def is_running(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not (
        status.exists() and status.read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"
    )
