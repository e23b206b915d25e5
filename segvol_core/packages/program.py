"""The program that changes the folder of private packages, run in the chosen Python.

``bootstrap.py - segvol_core.packages.program OPERATION --folder … --python … --result …``. What it
prints is for people; the outcome goes to the file RESULT. Slicer never imports this.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import json
import os
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segvol_core.child_python import bootstrap_command
from segvol_core.errors import PackagesError
from segvol_core.packages import installers, swap
from segvol_core.packages.failures import explain
from segvol_core.packages.installing import Installer, Runner, say
from segvol_core.packages.requirements import (
    engine_constraints_file,
    engine_requirements_file,
    read_requirements,
)
from segvol_core.packages.status import PackagesStatus, read_status, write_marker

OPERATIONS = ("install", "update", "repair", "check", "remove", "clean")

# Installed, with what is fetched beside it. Measured on Linux: torch for CPUs takes 754 MB and all
# else 134 MB, and is there twice for a while; with CUDA's libraries it is 8.8 GB at the most.
_CPU_BYTES = 2_500_000_000
_CUDA_BYTES = 10_000_000_000


@dataclass(frozen=True)
class Request:
    """What to do: the arguments of this program."""

    operation: str
    folder: Path
    python: Path
    wheels: Path | None = None
    requirements_file: Path = field(default_factory=engine_requirements_file)
    constraints_file: Path = field(default_factory=engine_constraints_file)


def main() -> None:
    """Do what the command line says, and write the outcome."""
    parser = argparse.ArgumentParser()
    parser.add_argument("operation", choices=OPERATIONS)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--python", type=Path, required=True)
    parser.add_argument("--result", type=Path, required=True)
    parser.add_argument("--wheels", type=Path)
    parser.add_argument("--requirements", type=Path, default=engine_requirements_file())
    parser.add_argument("--constraints", type=Path, default=engine_constraints_file())
    options = parser.parse_args()
    request = Request(
        options.operation,
        options.folder,
        options.python,
        options.wheels,
        options.requirements,
        options.constraints,
    )
    try:
        outcome = {"message": "", **carry_out(request)}
    except PackagesError as error:
        outcome = {"error": str(error)}
    except OSError as error:
        full = error.errno == errno.ENOSPC
        outcome = {
            "error": explain(["No space left on device"], wheels=None) if full else f"{error}."
        }
    partial = options.result.with_name(f"{options.result.name}.partial")
    partial.write_text(json.dumps(outcome), encoding="utf-8")
    partial.replace(options.result)


def carry_out(request: Request) -> dict[str, Any]:
    """Carry out an operation.

    Returns
    -------
    dict
        ``message``, a sentence for the user; from a check also what `verification.verify` tells.

    Raises
    ------
    PackagesError
        If it failed; the folder is as it was.
    """
    # What was killed right before a clean-up takes a moment to end.
    wait_seconds = 10.0 if request.operation == "clean" else 0.0
    with swap.only_installer(request.folder, wait_seconds) as lock:
        swap.finish_interrupted_swap(request.folder)
        if request.operation == "clean":
            swap.clear_leftovers(request.folder, downloads=False)
            return {"message": "What was left behind is gone."}
        if request.operation == "remove":
            return _remove(request.folder)
        if request.operation == "check":
            return _check(request, lock)
        return _install(request, lock)


def _check(request: Request, lock: int) -> dict[str, Any]:
    status = _status(request)
    if status.state != "ready":
        raise PackagesError(status.message)
    outcome = verify(request, request.folder, lock)
    if outcome["problem"]:
        raise PackagesError(f"{outcome['problem']} Repair the packages.")
    torch = f", PyTorch {outcome['torch']} on {outcome['device']}" if "torch" in outcome else ""
    return {"message": f"The packages work: Python {outcome['python']}{torch}.", **outcome}


def _remove(folder: Path) -> dict[str, Any]:
    status = read_status(folder)
    if status.state == "foreign":
        raise PackagesError(status.message)
    for kept in (folder, swap.beside(folder, "uv")):
        swap.discard(kept)
    swap.clear_leftovers(folder, downloads=True)
    return {"message": "The packages were removed."}


def _install(request: Request, lock: int) -> dict[str, Any]:
    status = _status(request)
    if status.state == "foreign":
        raise PackagesError(status.message)
    if status.state == "ready" and (
        request.operation != "repair" or not verify(request, request.folder, lock)["problem"]
    ):
        return {"message": "Everything is there already."}
    if request.wheels is not None and not any(request.wheels.glob("*.whl")):
        raise PackagesError(f"There are no wheels in {request.wheels}.")
    swap.clear_leftovers(request.folder, downloads=False)
    check_space(request.folder)
    try:
        outcome = _fill_and_try(request, lock, keep_installed=status.state == "outdated")
        swap.swap_in(request.folder)
    except PackagesError:
        swap.clear_leftovers(request.folder, downloads=False)
        raise
    swap.clear_leftovers(request.folder, downloads=True)
    return {"message": f"{_status(request).message[:-1]} in {request.folder}.", **outcome}


def _fill_and_try(request: Request, lock: int, *, keep_installed: bool) -> dict[str, Any]:
    new = swap.beside(request.folder, "new")
    installation = installers.Installation(
        request.python,
        request.folder,
        new,
        request.requirements_file,
        request.wheels,
        request.constraints_file,
    )
    installer = Installer(installation, lock, keep_installed=keep_installed).install()
    say("Trying the new packages.")
    outcome = verify(request, new, lock)
    if outcome["problem"]:
        # Perhaps it is what was fetched that is damaged.
        swap.clear_leftovers(request.folder, downloads=True)
        raise PackagesError(f"The packages were installed and do not work: {outcome['problem']}")
    write_marker(new, read_requirements(request.requirements_file), installer)
    return outcome


def _status(request: Request) -> PackagesStatus:
    return read_status(
        request.folder,
        python_version=sys.version_info[:2],
        requirements_file=request.requirements_file,
    )


def check_space(folder: Path) -> None:
    """See that an installation fits on the disk.

    Raises
    ------
    PackagesError
        If it does not.
    """
    cuda = sys.platform != "darwin" and installers.nvidia_driver() is not None
    needed = _CUDA_BYTES if cuda else _CPU_BYTES
    free = shutil.disk_usage(folder.parent).free
    if free < needed:
        raise PackagesError(
            f"The disk of {folder.parent} is too full: {needed / 1e9:.1f} GB are needed for the "
            f"installation and {free / 1e9:.1f} GB are free. Make room, or name a folder on "
            "another disk in SEGVOL_HOME."
        )


def verify(request: Request, packages: Path, lock: int) -> dict[str, Any]:
    """Try the packages of a folder in a process of their own; as `verification.verify`."""
    result = swap.beside(request.folder, "download") / "verified.json"
    result.parent.mkdir(parents=True, exist_ok=True)
    result.unlink(missing_ok=True)
    command = bootstrap_command(
        request.python,
        packages,
        "segvol_core.packages.verification",
        *(str(packages), str(request.requirements_file), str(result)),
    )
    Runner(dict(os.environ), lock).run(command)
    try:
        outcome: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    except OSError:
        return {"problem": f"{request.python} cannot run SegVol; the log says why."}
    finally:
        result.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # not empty: downloads are kept for the next attempt
            result.parent.rmdir()
    return outcome


if __name__ == "__main__":
    main()
