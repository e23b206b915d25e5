"""Whether the packages in the private folder are whole and load, tried in a process of their own.

``bootstrap.py FOLDER segvol_core.packages.verification FOLDER REQUIREMENTS RESULT``, where RESULT
is the file that the outcome is written to.
"""

from __future__ import annotations

import csv
import importlib
import json
import platform
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Any

from segvol_core.packages.requirements import normalised, read_requirements, required_names


def main() -> None:
    """Check what the arguments name, and write the outcome."""
    folder, requirements_file, result = map(Path, sys.argv[1:4])
    outcome = verify(folder, read_requirements(requirements_file), result)
    result.write_text(json.dumps(outcome), encoding="utf-8")


def verify(folder: Path, requirements: tuple[str, ...], result: Path) -> dict[str, Any]:
    """Look for lost files, and import what is required.

    Returns
    -------
    dict
        ``problem``, a sentence or None; ``python``; ``torch`` and ``device``, if torch is there.
    """
    found = {normalised(entry.name): entry for entry in distributions(path=[str(folder)])}
    outcome: dict[str, Any] = {"problem": None, "python": platform.python_version()}
    for name in required_names(requirements):
        if name not in found:
            return outcome | {"problem": f"{name} is missing."}
    for name, distribution in found.items():
        if lost := _lost_file(folder, distribution):
            return outcome | {"problem": f"{name} is damaged: {lost} is missing or was changed."}
    for name in required_names(requirements):
        for module in _modules(found[name]):
            # Left behind if the import ends this process.
            crash = {"problem": f"{name} is installed, and importing it ends Python."}
            result.write_text(json.dumps(outcome | crash), encoding="utf-8")
            try:
                importlib.import_module(module)
            except Exception as error:  # noqa: BLE001 - what a package raises can be anything
                reason = f"{type(error).__name__}: {error}".splitlines()[0].rstrip(".")
                return outcome | {"problem": f"{name} is installed and does not load: {reason}."}
    return outcome | _torch()


def _lost_file(folder: Path, distribution: Distribution) -> str | None:
    """First file of a distribution that is gone or of another size than its RECORD says."""
    for path, _digest, size in csv.reader((distribution.read_text("RECORD") or "").splitlines()):
        # Programs are moved by pip without a word, and compiled modules come and go.
        if path.startswith(("..", "bin/", "Scripts/")) or "__pycache__" in path:
            continue
        try:
            actual = (folder / path).stat().st_size
        except OSError:
            return path
        if size and int(size) != actual:
            return path
    return None


def _modules(distribution: Distribution) -> list[str]:
    """Names of the packages and modules at the top level of a distribution."""
    names = set()
    for path in distribution.files or ():
        if len(path.parts) == 2 and path.name == "__init__.py":
            names.add(path.parts[0])
        elif len(path.parts) == 1 and path.suffix == ".py":
            names.add(path.stem)
    return sorted(name for name in names if name.isidentifier() and not name.startswith("_"))


def _torch() -> dict[str, str]:
    torch = sys.modules.get("torch")
    if torch is None:
        return {}
    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "CPU"
    if device == "CPU" and torch.backends.mps.is_available():
        device = "Apple GPU"
    return {"torch": str(torch.__version__), "device": str(device)}


if __name__ == "__main__":
    main()
