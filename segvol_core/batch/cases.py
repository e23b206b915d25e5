"""The CTs of a folder."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from segvol_core.dicom_io import dicom_series
from segvol_core.errors import SegVolError

_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")
_SEGMENTATION = ".seg.nrrd"


@dataclass(frozen=True)
class BatchCase:
    """A CT to be segmented.

    Attributes
    ----------
    name
        Place in the folder without suffix, such as ``ward/ct1``; different for all cases.
    ct
        A file, or the folder of a DICOM series.
    """

    name: str
    ct: Path


def find_cases(folder: Path, *, but_not_in: Path) -> list[BatchCase]:
    """Find CTs in a folder and the folders below it, by name.

    Files are known by their suffix. A folder with DICOM images is one case.

    Parameters
    ----------
    but_not_in
        A folder that is left out, since results are in it.

    Raises
    ------
    SegVolError
        If there is no such folder, or nothing in it.
    """
    if not folder.is_dir():
        raise SegVolError(f"There is no folder {folder}.")
    found = sorted(_found(folder, but_not_in.absolute()))
    if not found:
        raise SegVolError(
            f"{folder} holds no CTs: no {', '.join(_SUFFIXES)} and no folder with DICOM images."
        )
    short = {path: _short_name(path, folder) for path in found}
    count = Counter(name.casefold() for name in short.values())
    return [
        # Of two that differ in their suffix alone, each keeps it.
        BatchCase(name if count[name.casefold()] == 1 else _long_name(path, folder), path)
        for path, name in short.items()
    ]


def fingerprint(ct: Path) -> str:
    """What changes when a file, or a file of a DICOM folder, is replaced."""
    files = sorted(ct.iterdir()) if ct.is_dir() else [ct]
    states = [file.stat() for file in files]
    size, latest = sum(s.st_size for s in states), max(s.st_mtime_ns for s in states)
    return f"{len(files)} files, {size} bytes, {latest} ns"


def _found(folder: Path, left_out: Path) -> Iterator[Path]:
    for name, _, files in os.walk(folder):
        place = Path(name)
        if place.absolute() == left_out or left_out in place.absolute().parents:
            continue
        images = [file for file in files if file.lower().endswith(_SUFFIXES)]
        yield from (place / f for f in images if not f.lower().endswith(_SEGMENTATION))
        if files and not images and dicom_series(place):
            yield place


def _short_name(path: Path, folder: Path) -> str:
    name = _long_name(path, folder)
    if path.is_dir():
        return name
    suffix = next(suffix for suffix in _SUFFIXES if name.lower().endswith(suffix))
    return name[: -len(suffix)] or name


def _long_name(path: Path, folder: Path) -> str:
    return folder.resolve().name if path == folder else path.relative_to(folder).as_posix()
