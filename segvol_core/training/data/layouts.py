"""Which layout a training folder has, and the cases that it lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from segvol_core.training.cases import read_index
from segvol_core.training.data.decathlon import is_decathlon, read_decathlon
from segvol_core.training.data.json_files import read_json_object
from segvol_core.training.data.m3d_seg import m3d_lists, read_m3d_seg
from segvol_core.training.data.named_folder import DESCRIPTION, read_named_folder
from segvol_core.training.data.nnunet import is_nnunet, read_nnunet
from segvol_core.training.data.records import (
    TRAIN,
    VALIDATION,
    VALIDATION_SHARE,
    CaseRecord,
    TrainingDataError,
)

_SPLIT_SEED = 20240601
"""Cases are drawn for validation by a number of their own, so that no other setting moves them."""


def read_records(
    folder: Path, validation: float | Sequence[str] = VALIDATION_SHARE
) -> list[CaseRecord]:
    """Cases of a training folder in any layout.

    Parameters
    ----------
    folder
        With an ``index.json`` (this project's), a ``dataset.yaml`` that says where CTs and labels
        lie, a ``dataset.json`` of the Medical Segmentation Decathlon or of nnU-Net, or the M3D-Seg
        layout.
    validation
        Names of cases that are kept for validation, or a share of the labelled ones. A share counts
        only where the folder itself names no case for validation.

    Raises
    ------
    TrainingDataError
        If the folder has none of these layouts, or does not fit what it says.
    """
    if not folder.is_dir():
        raise TrainingDataError(f"There is no training folder {folder}.")
    records = reader_of(folder)(folder)
    names = [record.name for record in records]
    if not names:
        raise TrainingDataError(f"{folder} lists no case.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise TrainingDataError(f"{folder} has two cases of the name {twice[0]}.")
    for record in records:
        as_background = next((name for name, values in record.values.items() if 0 in values), None)
        if as_background is not None:
            raise TrainingDataError(
                f"{folder} gives the value 0 to “{as_background}”, and 0 is the background: "
                "structures are counted from 1."
            )
        for path in record.files:
            if not path.is_file():
                raise TrainingDataError(f"{folder} names {path}, which is not there.")
    return _with_validation(folder, records, validation)


def reader_of(folder: Path) -> Callable[[Path], list[CaseRecord]]:
    """Function that reads the layout of a folder.

    Raises
    ------
    TrainingDataError
        If it has none that is known; the message says what was looked for.
    """
    if (folder / "index.json").is_file():
        return read_index
    if (folder / DESCRIPTION).is_file():
        return read_named_folder
    if (folder / "dataset.json").is_file():
        description: dict[str, Any] = read_json_object(folder / "dataset.json")
        if is_decathlon(description):
            return read_decathlon
        if is_nnunet(folder):
            return read_nnunet
    if m3d_lists(folder):
        return read_m3d_seg
    raise TrainingDataError(
        f"{folder} has no layout that is known: no index.json, no {DESCRIPTION} that says where "
        "CTs and labels lie, no dataset.json with its cases (Decathlon) or with imagesTr and "
        "labelsTr (nnU-Net), no <code>/<code>.json (M3D-Seg)."
    )


def _with_validation(
    folder: Path, records: list[CaseRecord], validation: float | Sequence[str]
) -> list[CaseRecord]:
    if not isinstance(validation, int | float):
        missing = sorted(set(validation) - {record.name for record in records if record.structures})
        if missing:
            raise TrainingDataError(f"{folder} has no labelled case {missing[0]} for validation.")
        chosen = set(validation)
        return [
            replace(record, split=VALIDATION)
            if record.name in chosen
            else replace(record, split=TRAIN)
            if record.split == VALIDATION
            else record
            for record in records
        ]
    labelled = sorted(record.name for record in records if record.split == TRAIN)
    count = round(validation * len(labelled))
    if any(record.split == VALIDATION for record in records) or len(labelled) < 2 or not validation:
        return records
    count = min(max(count, 1), len(labelled) - 1)
    drawn = set(np.random.default_rng(_SPLIT_SEED).choice(labelled, count, replace=False).tolist())
    return [
        replace(record, split=VALIDATION) if record.name in drawn else record for record in records
    ]
