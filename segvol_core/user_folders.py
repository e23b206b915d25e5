"""Where the packages and the logs of this user are kept.

``SEGVOL_HOME`` names one folder for all of it. Without it, each system's own places are used:

========  =========================================  ================================
system    packages                                   logs
========  =========================================  ================================
Linux     ``XDG_DATA_HOME`` or ``~/.local/share``    ``XDG_STATE_HOME`` or ``~/.local/state``
macOS     ``~/Library/Application Support``          ``~/Library/Logs``
Windows   ``LOCALAPPDATA``                           ``LOCALAPPDATA``
========  =========================================  ================================
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def packages_folder(python_version: tuple[int, int] | None = None) -> Path:
    """Folder of the private packages: one per Python version, since compiled packages fit only one.

    Parameters
    ----------
    python_version
        Major and minor version of the Python that will use them; of this Python if not given.
    """
    major, minor = python_version or sys.version_info[:2]
    return _home("data") / "packages" / f"py{major}.{minor}"


def log_folder() -> Path:
    """Folder of the logs of the inference process and of installing its packages."""
    return _home("log") / "log"


def _home(purpose: str) -> Path:
    if home := os.environ.get("SEGVOL_HOME"):
        return Path(home).expanduser()
    if sys.platform == "win32":
        parent = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        parent = Path.home() / "Library" / ("Logs" if purpose == "log" else "Application Support")
    elif purpose == "log":
        parent = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    else:
        parent = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(parent) / "segvol"
