"""What is in the folder of private packages, told from a marker file without starting anything."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from segvol_core import __version__
from segvol_core.packages.requirements import (
    engine_requirements_file,
    normalised,
    read_requirements,
    requirements_digest,
)

MARKER = "segvol-packages.json"
"""File that is written last into an installation: with it, an installation is complete."""

State = Literal["ready", "missing", "outdated", "other python", "damaged", "foreign"]


@dataclass(frozen=True)
class PackagesStatus:
    """What is installed.

    Attributes
    ----------
    state
        ``ready``; ``missing``; ``outdated`` when this SegVol requires something else (update);
        ``other python`` when they are for another Python version (install); ``damaged`` when
        packages are gone or exchanged (repair); ``foreign`` when the folder holds what SegVol did
        not put there, which is never touched.
    message
        The same as a sentence.
    versions
        Installed distributions and their versions.
    """

    state: State
    message: str
    versions: Mapping[str, str] = field(default_factory=dict)


def read_status(
    folder: Path,
    *,
    python_version: tuple[int, int] | None = None,
    requirements_file: Path | None = None,
) -> PackagesStatus:
    """Tell what a folder of private packages holds; takes some milliseconds.

    Whether the packages work is another question: the operation ``check`` of a `PackageJob`.

    Parameters
    ----------
    folder
        As `segvol_core.user_folders.packages_folder` gives it.
    python_version
        Version of the Python that is to use them; of this one if not given.
    requirements_file
        What is required; the bundled list if not given.
    """
    if not folder.is_dir() or not any(folder.iterdir()):
        return PackagesStatus("missing", f"No packages are installed in {folder}.")
    marker = _read_marker(folder)
    if marker is None:
        return PackagesStatus(
            "foreign",
            f"{folder} holds something that SegVol did not put there, or not completely. Choose "
            "another folder, or delete it by hand.",
        )
    versions = installed_versions(folder)
    if versions != marker.get("distributions"):
        return PackagesStatus(
            "damaged", f"Packages are missing or were changed in {folder}: repair them.", versions
        )
    major, minor = python_version or sys.version_info[:2]
    if marker.get("python") != f"{major}.{minor}":
        return PackagesStatus(
            "other python",
            f"The packages in {folder} are for Python {marker.get('python')}, not {major}.{minor}: "
            "install them again.",
            versions,
        )
    requirements = read_requirements(requirements_file or engine_requirements_file())
    if marker.get("requirements") != requirements_digest(requirements):
        return PackagesStatus(
            "outdated", "This version of SegVol needs other packages: update them.", versions
        )
    return PackagesStatus("ready", f"{len(versions)} packages are installed.", versions)


def write_marker(folder: Path, requirements: tuple[str, ...], installer: str) -> None:
    """Declare what is in a folder complete, for this Python."""
    marker = {
        "segvol": __version__,
        "python": f"{sys.version_info[0]}.{sys.version_info[1]}",
        "requirements": requirements_digest(requirements),
        "installer": installer,
        "distributions": installed_versions(folder),
    }
    partial = folder / f"{MARKER}.partial"
    partial.write_text(json.dumps(marker, indent=1), encoding="utf-8")
    partial.replace(folder / MARKER)


def is_complete(folder: Path) -> bool:
    """Whether an installation was finished."""
    return _read_marker(folder) is not None


def installed_versions(folder: Path) -> dict[str, str]:
    """Distributions of a folder by normalised name, told from the names of their metadata."""
    versions = {}
    for metadata in folder.glob("*.dist-info"):
        name, _, version = metadata.name.removesuffix(".dist-info").partition("-")
        versions[normalised(name)] = version
    return dict(sorted(versions.items()))


def _read_marker(folder: Path) -> dict[str, Any] | None:
    try:
        marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return marker if isinstance(marker, dict) else None
