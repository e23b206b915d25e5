"""CTs with labels: where they are, which structures they show."""

from __future__ import annotations

import fnmatch
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segvol_core import organs
from segvol_core.errors import OrganError, SegVolWarning, VolumeError
from segvol_core.evaluation.label_maps import (
    EvaluationError,
    labels_on_voxels,
    read_label_map,
    whole_numbers,
)
from segvol_core.evaluation.metrics import Mask
from segvol_core.training.cases import read_index
from segvol_core.volume import Volume
from segvol_core.volume_io import read_volume


@dataclass(frozen=True)
class CaseFiles:
    """A CT on disk and its labels.

    Attributes
    ----------
    name
        Identifies the case in reports.
    image, labels
        Files on the same voxels.
    label_values
        Value in the label map of each structure.
    """

    name: str
    image: Path
    labels: Path
    label_values: Mapping[str, int]


@dataclass(frozen=True)
class Structure:
    """Something to find: one value of the label map, or several taken together."""

    name: str
    values: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class LabelledCase:
    """A CT in memory and its labels.

    Attributes
    ----------
    labels
        (k, j, i) integers on the voxels of the volume.
    """

    name: str
    volume: Volume
    labels: NDArray[np.integer[Any]]

    @property
    def spacing_kji(self) -> tuple[float, float, float]:
        """Voxel size in millimetres along k, j and i."""
        i, j, k = self.volume.spacing_ijk.tolist()
        return k, j, i

    def mask(self, structure: Structure) -> Mask:
        """Voxels (k, j, i) of a structure."""
        if len(structure.values) == 1:
            return np.asarray(self.labels == structure.values[0])
        return np.isin(self.labels, structure.values)


def cases_of_folder(folder: Path, split: str | None = None) -> list[CaseFiles]:
    """Cases with labels that the ``index.json`` of a folder lists.

    Parameters
    ----------
    split
        Only cases of this split, for instance ``validation``.

    Raises
    ------
    SegVolError
        If the folder or its index cannot be read, or has no such case.
    """
    if not (folder / "index.json").is_file():
        raise EvaluationError(
            f"{folder} has no index.json that lists its cases. For a single case, give --image, "
            "--labels and --label-map."
        )
    records = read_index(folder)
    splits = sorted({record.split for record in records if record.labels is not None})
    cases = [
        CaseFiles(record.name, record.image, record.labels, record.label_values)
        for record in records
        if record.labels is not None and (split is None or record.split == split)
    ]
    if not cases:
        raise EvaluationError(
            f"{folder} has no labelled case of the split “{split}”; it has {_listed(splits)}."
        )
    return cases


def single_case(image: Path, labels: Path, label_map: Path) -> CaseFiles:
    """One case from its three files.

    Raises
    ------
    EvaluationError
        If the label map cannot be read.
    """
    return CaseFiles(image.name.split(".")[0], image, labels, read_label_map(label_map))


def read_case(files: CaseFiles) -> LabelledCase:
    """Read a CT and its labels.

    Raises
    ------
    SegVolError
        If one of them cannot be read, the labels are no whole numbers, or they do not lie on the
        voxels of the CT (in whatever order of axes).
    """
    volume = read_volume(files.image)
    try:
        with warnings.catch_warnings():
            # A label map is no CT, which is what the warnings would say.
            warnings.simplefilter("ignore", SegVolWarning)
            labels = read_volume(files.labels)
    except VolumeError as error:
        raise EvaluationError(f"The labels of {files.name}: {error}") from error
    whose = f"The labels of {files.name}"
    voxels = whole_numbers(labels.voxels, whose)
    on_ct = labels_on_voxels(volume, Volume(voxels, labels.ijk_to_ras), whose)
    return LabelledCase(files.name, volume, on_ct)


def choose_structures(
    label_values: Mapping[str, int],
    wanted: Sequence[str] = (),
    groups: Mapping[str, Sequence[str]] | None = None,
) -> list[Structure]:
    """Structures of a case to evaluate; names that it does not have are passed over.

    Parameters
    ----------
    label_values
        Value of each structure the case is labelled for.
    wanted
        Names as in the labels, patterns of them (``lung_*``), or other words for them ("left
        kidney"). Nothing for all of them, or for none but the groups.
    groups
        Structures to be taken together, under the name of the group.
    """
    groups = groups or {}
    patterns = wanted if wanted or groups else ("*",)
    chosen = [
        Structure(name, (value,))
        for name, value in label_values.items()
        if any(same_structure(each, name) for each in patterns)
    ]
    for group, members in groups.items():
        values = [
            value
            for name, value in label_values.items()
            if any(same_structure(member, name) for member in members)
        ]
        if values:
            chosen.append(Structure(group, tuple(values)))
    return chosen


def check_wanted(cases: Iterable[CaseFiles], wanted: Iterable[str]) -> None:
    """Make sure that every wanted name is a structure of some case.

    Raises
    ------
    EvaluationError
        If one is not; the message names it and what there is.
    """
    known = sorted({name for case in cases for name in case.label_values})
    missing = [each for each in wanted if not any(same_structure(each, name) for name in known)]
    if missing:
        raise EvaluationError(
            f"No case is labelled for {_listed(missing)}. The labels are {_listed(known)}."
        )


def parse_groups(definitions: Iterable[str]) -> dict[str, list[str]]:
    """Groups from texts such as ``lungs=lung_*`` or ``heart=heart,atrial_appendage_left``.

    Raises
    ------
    EvaluationError
        If a text is not of that form, or a group is defined twice.
    """
    groups: dict[str, list[str]] = {}
    for definition in definitions:
        name, _, rest = (part.strip() for part in definition.partition("="))
        members = [member.strip() for member in rest.split(",") if member.strip()]
        if not name or not members or name in groups:
            raise EvaluationError(
                f"“{definition}” is no group: write for instance lungs=lung_upper_lobe_left,"
                "lung_lower_lobe_left, each group once."
            )
        groups[name] = members
    return groups


def same_structure(wanted: str, name: str) -> bool:
    """Whether a user's word or pattern for a structure means this name of the labels."""
    if fnmatch.fnmatchcase(name.casefold(), wanted.strip().casefold()):
        return True
    organ = _organ(wanted)
    return organ is not None and organ == _organ(name)


@cache
def _organ(name: str) -> organs.Organ | None:
    try:
        return organs.find(name)
    except OrganError:
        return None


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "none"
