"""CTs with labels: where they are, and what they show."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segvol_core.errors import SegVolError, SegVolWarning
from segvol_core.evaluation.label_maps import EvaluationError, read_label_map
from segvol_core.evaluation.metrics import Mask
from segvol_core.evaluation.structures import Structure
from segvol_core.training.data.m3d_arrays import is_m3d_image
from segvol_core.training.data.overlaps import LabelArray
from segvol_core.training.data.reading import read_case_volume, read_structures
from segvol_core.training.data.records import VALIDATION, VALIDATION_SHARE, CaseRecord
from segvol_core.volume import Volume
from segvol_core.volume_io import read_volume


@dataclass(frozen=True, eq=False)
class LabelledCase:
    """A CT in memory and its labels.

    Attributes
    ----------
    labels
        (k, j, i) whole numbers on the voxels of the volume.
    structures
        Values in the labels that make up each structure: none if it is not shown, several where
        structures overlap.
    in_millimetres
        False if the files do not say how large a voxel is; it counts as 1 mm then.
    in_hounsfield
        False for values that somebody has normalised.
    """

    name: str
    volume: Volume
    labels: NDArray[np.integer[Any]]
    structures: Mapping[str, tuple[int, ...]]
    in_millimetres: bool = True
    in_hounsfield: bool = True

    @property
    def spacing_kji(self) -> tuple[float, float, float] | None:
        """Voxel size in millimetres along k, j and i; None where the files do not say."""
        i, j, k = self.volume.spacing_ijk.tolist()
        return (k, j, i) if self.in_millimetres else None

    def mask(self, structure: Structure) -> Mask:
        """Voxels (k, j, i) of a structure."""
        values = {value for name in structure.members for value in self.structures[name]}
        if len(values) == 1:
            return np.asarray(self.labels == values.pop())
        return np.isin(self.labels, list(values))


def cases_of_folder(
    folder: Path,
    split: str | None = None,
    validation: float | Sequence[str] = VALIDATION_SHARE,
) -> list[CaseRecord]:
    """Cases with labels in a folder of any layout that a training reads.

    Parameters
    ----------
    split
        Only cases of this split, for instance ``validation``.
    validation
        As :func:`segvol_core.training.data.layouts.read_records` takes it, so that the split is
        that of a training with the same setting.

    Raises
    ------
    SegVolError
        If the folder has none of the layouts, does not fit what it says, or has no such case.
    """
    try:
        # Descriptions of folders are read with packages that a single case does not need.
        from segvol_core.training.data.layouts import read_records  # noqa: PLC0415
    except ImportError as error:
        raise EvaluationError(
            f"Reading a folder needs {error.name}, which is not installed: "
            "pip install 'segvol[evaluate]'."
        ) from error
    if not folder.is_dir():
        raise EvaluationError(f"There is no folder {folder}.")
    labelled = [each for each in read_records(folder, validation) if each.labels or each.masks]
    if not labelled:
        raise EvaluationError(f"{folder} has CTs, but no labels to compare with.")
    cases = [record for record in labelled if split in (None, record.split)]
    if not cases:
        splits = Counter(record.split for record in labelled)
        there = ", ".join(f"{name} ({count})" for name, count in sorted(splits.items()))
        raise EvaluationError(
            f"{folder} has no labelled case of the split “{split}”; it has {there}."
        )
    return cases


def single_case(image: Path, labels: Path, label_map: Path) -> CaseRecord:
    """One case from its three files.

    Raises
    ------
    EvaluationError
        If the labels are not there, or the label map cannot be read.
    """
    if not labels.is_file():
        raise EvaluationError(f"There is no file {labels}.")
    name = image.name.split(".")[0]
    return CaseRecord(name, VALIDATION, "", image, labels, read_label_map(label_map))


def read_case(record: CaseRecord) -> LabelledCase:
    """Read a CT and its labels.

    Raises
    ------
    SegVolError
        If one of them cannot be read, the labels are no whole numbers, or they do not lie on the
        voxels of the CT (in whatever order of axes). The message names the case.
    """
    case = _read_arrays(record) if is_m3d_image(record.image) else _read_volumes(record)
    if not case.labels.any():
        warnings.warn(f"The labels of {record.name} are empty.", SegVolWarning, stacklevel=2)
    return case


def _read_volumes(record: CaseRecord) -> LabelledCase:
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", SegVolWarning)
            volume = read_volume(record.image)
        for each in caught:
            said = (
                f"{record.name}: {each.message}" if each.category is SegVolWarning else each.message
            )
            warnings.warn(said, each.category, stacklevel=3)
        upright = volume.canonical()
        labels, structures = read_structures(record, upright)
    except SegVolError as error:
        raise EvaluationError(f"{record.name}: {error}") from error
    return LabelledCase(record.name, volume, upright.restore(_given(labels, record)), structures)


def _read_arrays(record: CaseRecord) -> LabelledCase:
    case = read_case_volume(record)
    return LabelledCase(
        record.name,
        Volume(case.voxels, np.eye(4)),
        _given(case.labels, record),
        case.structures,
        in_millimetres=case.spacing_zyx is not None,
        in_hounsfield=case.in_hounsfield,
    )


def _given(labels: LabelArray | None, record: CaseRecord) -> LabelArray:
    if labels is None:
        raise EvaluationError(f"{record.name} has no labels to compare with.")
    return labels
