"""CTs with labels: where they are, which structures they show."""

from __future__ import annotations

import csv
import fnmatch
import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segvol_core import organs
from segvol_core.errors import OrganError, SegVolError, SegVolWarning, VolumeError
from segvol_core.evaluation.metrics import Mask
from segvol_core.training.cases import read_index
from segvol_core.volume import Volume
from segvol_core.volume_io import read_volume

_NAME_COLUMNS = ("structure", "name", "label")
_VALUE_COLUMNS = ("id", "value")
_SAME_PLACE_MM = 1e-2


class EvaluationError(SegVolError):
    """Cases, labels or structures that cannot be evaluated."""


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


def read_label_map(path: Path) -> dict[str, int]:
    """Value of each structure's label.

    Parameters
    ----------
    path
        JSON, an object from name to value; or CSV with a header, names in the column ``structure``
        (or ``name``, ``label``), values in ``id`` (or ``value``).

    Raises
    ------
    EvaluationError
        If it is neither.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(f"The label map {path} cannot be read as text.") from error
    try:
        pairs = _json_pairs(text) if path.suffix.lower() == ".json" else _csv_pairs(text)
        values = [(str(name).strip(), int(value)) for name, value in pairs]
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise EvaluationError(
            f"{path} is no label map: it must be a JSON object from name to value, or a CSV with "
            f"the columns {_NAME_COLUMNS[0]} and {_VALUE_COLUMNS[0]}."
        ) from error
    names = [name for name, _ in values]
    if not names or "" in names or len(set(names)) < len(names):
        raise EvaluationError(f"{path} has no names, or one that is empty or there twice.")
    return dict(values)


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
    voxels = labels.voxels
    if not np.issubdtype(voxels.dtype, np.integer):
        if not np.array_equal(voxels, np.rint(voxels)):
            raise EvaluationError(f"The labels of {files.name} are no whole numbers.")
        labels = Volume(voxels.astype(np.int32), labels.ijk_to_ras)
    upright, upright_labels = volume.canonical(), labels.canonical()
    apart = np.abs(upright.zyx_to_ras - upright_labels.zyx_to_ras).max()
    if upright.shape_zyx != upright_labels.shape_zyx or apart > _SAME_PLACE_MM:
        raise EvaluationError(f"The labels of {files.name} do not lie on the voxels of its CT.")
    return LabelledCase(files.name, volume, upright.restore(upright_labels.voxels))


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
        if any(_means(each, name) for each in patterns)
    ]
    for group, members in groups.items():
        values = [
            value
            for name, value in label_values.items()
            if any(_means(member, name) for member in members)
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
    missing = [each for each in wanted if not any(_means(each, name) for name in known)]
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


def _means(wanted: str, name: str) -> bool:
    """Whether a user's word for a structure is this name of the labels."""
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


def _json_pairs(text: str) -> Iterable[tuple[Any, Any]]:
    pairs: Iterable[tuple[Any, Any]] = json.loads(text).items()
    return pairs


def _csv_pairs(text: str) -> list[tuple[str, str]]:
    rows = list(csv.DictReader(text.splitlines()))
    name, *_ = (column for column in _NAME_COLUMNS if column in rows[0])
    value, *_ = (column for column in _VALUE_COLUMNS if column in rows[0])
    return [(row[name], row[value]) for row in rows]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "none"
