"""A folder of CTs with an ``index.json`` becomes volumes as the network sees them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK
import torch
from torch import Tensor

from segvol_core.errors import SegVolError
from segvol_core.model.config import SegVolConfig
from segvol_core.preprocessing import prepare
from segvol_core.training.pseudo_labels import PseudoLabels, pseudo_labels

Spacing3 = tuple[float, float, float]


class TrainingDataError(SegVolError):
    """A training folder that is missing, incomplete or does not fit its index."""


@dataclass(frozen=True)
class CaseRecord:
    """One line of ``index.json``: a CT, its label map if it has one, and what it is for.

    Attributes
    ----------
    label_values
        Value in the label map of each annotated structure.
    split
        ``"train"``, ``"validation"`` or ``"unlabelled"``.
    """

    name: str
    split: str
    dataset: str
    image: Path
    labels: Path | None
    label_values: dict[str, int]


@dataclass(frozen=True)
class TrainingCase:
    """A prepared CT with everything that targets are drawn from.

    Attributes
    ----------
    image
        (D, H, W) float16, the prepared volume.
    labels
        (D, H, W) uint8 on the same grid, or None.
    label_values
        Value in ``labels`` of each annotated structure, also of those with no voxel.
    regions
        Class-agnostic pseudo-labels.
    """

    name: str
    split: str
    dataset: str
    image: Tensor
    labels: Tensor | None
    label_values: dict[str, int]
    regions: PseudoLabels


def read_index(folder: Path) -> list[CaseRecord]:
    """Records of a training folder.

    Raises
    ------
    TrainingDataError
        If the folder, its ``index.json`` or a file that it names is missing.
    """
    if not folder.is_dir():
        raise TrainingDataError(f"There is no training folder {folder}.")
    index = folder / "index.json"
    if not index.is_file():
        raise TrainingDataError(f"{folder} has no index.json that lists its cases.")
    try:
        records = [_record(folder, values) for values in json.loads(index.read_text())]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrainingDataError(f"{index} is not a list of cases: {error!r}.") from error
    for record in records:
        for path in (record.image, record.labels):
            if path is not None and not path.is_file():
                raise TrainingDataError(f"{index} names {path.name}, which is not there.")
    return records


def prepare_cases(
    records: Sequence[CaseRecord], config: SegVolConfig, cache: Path | None = None
) -> Iterator[TrainingCase]:
    """Read and prepare one case after the other.

    Parameters
    ----------
    records
        From :func:`read_index`.
    config
        Window and spacing of the network.
    cache
        Folder in which prepared cases are kept for the next run with the same ``config``, which it
        does not record; None keeps nothing.
    """
    for record in records:
        kept = None if cache is None else cache / f"{record.name}.pt"
        if kept is not None and kept.exists():
            arrays = torch.load(kept, weights_only=True)
        else:
            arrays = _prepare_arrays(record, config)
            if kept is not None:
                kept.parent.mkdir(parents=True, exist_ok=True)
                torch.save(arrays, kept)
        yield TrainingCase(
            name=record.name,
            split=record.split,
            dataset=record.dataset,
            image=arrays["image"],
            labels=arrays["labels"],
            label_values=record.label_values,
            regions=PseudoLabels(
                arrays["regions"], tuple(arrays["region_scale"]), tuple(arrays["region_offset"])
            ),
        )


def read_canonical(path: Path) -> tuple[npt.NDArray[Any], Spacing3]:
    """Voxels (z, y, x) in RAS+ and their size in mm (z, y, x).

    Raises
    ------
    TrainingDataError
        If the file cannot be read.
    """
    try:
        image = SimpleITK.DICOMOrient(SimpleITK.ReadImage(str(path)), "RAS")
    except RuntimeError as error:
        raise TrainingDataError(f"{path} cannot be read as a volume.") from error
    x, y, z = image.GetSpacing()
    return SimpleITK.GetArrayFromImage(image), (z, y, x)


def _record(folder: Path, values: dict[str, Any]) -> CaseRecord:
    labels = values["labels"]
    return CaseRecord(
        name=str(values["case"]),
        split=str(values["split"]),
        dataset=str(values.get("dataset", "")),
        image=folder / values["image"],
        labels=None if labels is None else folder / labels,
        label_values={name: int(value) for name, value in (values["label_map"] or {}).items()},
    )


def _prepare_arrays(record: CaseRecord, config: SegVolConfig) -> dict[str, Any]:
    voxels, spacing = read_canonical(record.image)
    prepared = prepare(voxels, spacing, config)
    labels = None
    if record.labels is not None:
        label_map, _ = read_canonical(record.labels)
        if label_map.shape != voxels.shape:
            raise TrainingDataError(f"Image and labels of {record.name} differ in shape.")
        labels = prepared.sample(label_map.astype(np.uint8))
    regions = pseudo_labels(voxels, spacing, prepared)
    return {
        "image": prepared.image.half(),
        "labels": labels,
        "regions": regions.regions,
        "region_scale": list(regions.scale),
        "region_offset": list(regions.offset),
    }
