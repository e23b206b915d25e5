"""The engines there are: a process on this computer, and a server."""

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from segvol_core.local_server import LocalServer
from segvol_core.packages.status import is_complete
from segvol_core.user_folders import packages_folder
from SegVolLogic.client_engine import ClientEngine
from SegVolLogic.reach import Server, ThisComputer


def local_engine(
    weights: str = "starter",
    device: str = "auto",
    *,
    memory_mb: int | None = None,
    python: Path | None = None,
    packages: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> ClientEngine:
    """Engine on this computer; its process starts with `start`.

    Parameters
    ----------
    weights, device
        As in ``segvol serve``.
    memory_mb
        For all volumes and what is computed from them; half of this computer's if None.
    python
        The Python to run it in; Slicer's by default, or this one outside Slicer.
    packages
        Folder of the private packages; by default the user's, if they are installed.
    environment
        Of the process; in Slicer, ``slicer.util.startupEnvironment()``.
    """
    return ClientEngine(
        ThisComputer(
            lambda: LocalServer(
                python or engine_python(),
                packages or installed_packages(),
                weights=weights,
                device=device,
                memory_mb=memory_mb,
                environment=environment,
            )
        )
    )


def server_engine(url: str, token: str, *, ca_file: str | None = None) -> ClientEngine:
    """Engine on a server that others run; see `SegVolLogic.reach.Server`."""
    return ClientEngine(Server(url, token, ca_file=ca_file))


def engine_python() -> Path:
    """Return the Python that Slicer brings; outside Slicer, the one that this is."""
    return Path(shutil.which("PythonSlicer") or sys.executable)


def installed_packages() -> Path | None:
    """Return the user's folder of private packages, None where they are not installed."""
    folder = packages_folder()
    return folder if is_complete(folder) else None
