"""How a Python of the user's choice is started with a module of this segvol_core."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

_BOOTSTRAP = Path(__file__).with_name("bootstrap.py")
_NOT_INHERITED = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONINSPECT", "PYTHONSAFEPATH")


def bootstrap_command(
    python: Path,
    packages: Path | None,
    module: str,
    *arguments: str,
    ends_with_input: bool = False,
) -> list[str]:
    """Command that runs a module of segvol_core with the private packages before all others.

    Parameters
    ----------
    python
        A Python, 3.10 or newer.
    packages
        Folder of the private packages, or None for none.
    module, arguments
        What ``python -m`` would get.
    ends_with_input
        Whether it ends, with all it started, when its input does. For a `ProcessTree` only.
    """
    private = "-" if packages is None else str(packages)
    watch = ["--end-with-input"] if ends_with_input else []
    return [str(python), str(_BOOTSTRAP), *watch, private, module, *arguments]


def child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Environment for such a process: neither the application's Python paths nor the user's.

    Proxies, certificates and everything else stay. PythonSlicer's launcher sets what it needs by
    itself.
    """
    kept = {name: value for name, value in environment.items() if name not in _NOT_INHERITED}
    return kept | {
        "PYTHONNOUSERSITE": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
        "PYTHONFAULTHANDLER": "1",  # so that a crash in native code leaves a line in the log
    }
