"""The CTs of a training folder, without their labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from segvol_core.batch.cases import find_cases
from segvol_core.errors import SegVolError
from segvol_core.training.data.layouts import read_records
from segvol_core.training.data.m3d_seg import m3d_lists
from segvol_core.training.data.named_folder import DESCRIPTION
from segvol_core.training.data.records import (
    UNLABELLED,
    VALIDATION,
    CaseRecord,
    TrainingDataError,
)

_DESCRIPTIONS = ("index.json", "dataset.json", DESCRIPTION)


def read_images(
    folder: Path, validation: float | Sequence[str], *, but_not_in: Path
) -> list[CaseRecord]:
    """CTs of a folder in any layout, or of one that holds nothing but CTs.

    Parameters
    ----------
    validation
        As for :func:`~segvol_core.training.data.layouts.read_records`; a share does not count in a
        folder of nothing but CTs.
    but_not_in
        A folder that is not looked into, since results are in it.

    Raises
    ------
    TrainingDataError
        If the folder has neither, or does not fit what it says.
    """
    if _is_undescribed(folder):
        try:
            found = find_cases(folder, but_not_in=but_not_in)
        except SegVolError as error:
            raise TrainingDataError(
                f"{error} Nor is it a training folder: no index.json, no {DESCRIPTION}, no "
                "dataset.json (Decathlon, nnU-Net), no <code>/<code>.json (M3D-Seg)."
            ) from error
        dataset = folder.resolve().name
        kept = () if isinstance(validation, int | float) else validation
        return [
            CaseRecord(
                each.name,
                VALIDATION if each.name in kept else UNLABELLED,
                dataset,
                each.ct,
                None,
                {},
            )
            for each in found
        ]
    return [
        replace(
            record,
            split=VALIDATION if record.split == VALIDATION else UNLABELLED,
            labels=None,
            label_values={},
            united={},
            masks={},
        )
        for record in read_records(folder, validation)
    ]


def _is_undescribed(folder: Path) -> bool:
    """Whether a folder does not say what is in it."""
    if not folder.is_dir() or m3d_lists(folder):
        return False
    return not any((folder / name).is_file() for name in _DESCRIPTIONS)
