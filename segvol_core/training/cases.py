"""A folder of CTs with an ``index.json`` becomes volumes as the network sees them."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from segvol_core.model.config import SegVolConfig
from segvol_core.preprocessing import PreparedVolume, prepare
from segvol_core.training.data.overlaps import Structures
from segvol_core.training.data.reading import (
    CaseVolume,
    Spacing3,
    check_network_reads,
    read_case_volume,
)
from segvol_core.training.data.records import CaseRecord, TrainingDataError
from segvol_core.training.kept_cases import kept
from segvol_core.training.pseudo_labels import PseudoLabels, pseudo_labels

__all__ = ["CaseRecord", "TrainingCase", "TrainingDataError", "prepare_cases", "read_index"]


@dataclass(frozen=True)
class TrainingCase:
    """A prepared CT with everything that targets are drawn from.

    Attributes
    ----------
    image
        (D, H, W) float16, the prepared volume.
    labels
        (D, H, W) uint8 or int16 on the same grid, or None.
    label_values
        Value in ``labels`` of each annotated structure, also of those with no voxel; or a number of
        its own for one that ``parts`` has.
    regions
        Class-agnostic pseudo-labels.
    parts
        Values in ``labels`` that together make up a structure that is not one value alone.
    """

    name: str
    split: str
    dataset: str
    image: Tensor
    labels: Tensor | None
    label_values: dict[str, int]
    regions: PseudoLabels
    parts: Mapping[int, tuple[int, ...]] = field(default_factory=dict)

    def values_of(self, structure: int) -> tuple[int, ...]:
        """Values in ``labels`` of the structure that has this number in ``label_values``."""
        return self.parts.get(structure, (structure,))


def read_index(folder: Path, images: Path | None = None) -> list[CaseRecord]:
    """Records of a training folder.

    Parameters
    ----------
    folder
        Holds ``index.json`` and what it names.
    images
        Where the CTs are, for a folder of nothing but labels; those that are not there are left
        out.

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
        listed = json.loads(index.read_text(encoding="utf-8"))
        records = [_record(folder, images or folder, values) for values in listed]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrainingDataError(f"{index} is not a list of cases: {error!r}.") from error
    if images is not None:
        records = [record for record in records if record.image.is_file()]
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
        arrays = kept(cache, record.name, functools.partial(_prepare_arrays, record, config))
        label_values, parts = number_structures(
            # Folders kept by earlier versions hold label maps alone.
            arrays.get("structures")
            or {name: (value,) for name, value in record.label_values.items()}
        )
        yield TrainingCase(
            name=record.name,
            split=record.split,
            dataset=record.dataset,
            image=arrays["image"],
            labels=arrays["labels"],
            label_values=label_values,
            regions=PseudoLabels(
                arrays["regions"], tuple(arrays["region_scale"]), tuple(arrays["region_offset"])
            ),
            parts=parts,
        )


def prepare_images(
    records: Sequence[CaseRecord], config: SegVolConfig, cache: Path | None = None
) -> Iterator[Tensor]:
    """Read and prepare one CT after the other, without labels and regions.

    Parameters
    ----------
    records, config, cache
        As for :func:`prepare_cases`, in a folder of their own.

    Returns
    -------
    Prepared volumes (D, H, W) in half precision.
    """
    for record in records:
        yield kept(cache, record.name, functools.partial(_prepare_image, record, config))["image"]


def number_structures(
    structures: Structures,
) -> tuple[dict[str, int], dict[int, tuple[int, ...]]]:
    """A number for each structure: its value if it has one alone, else one that no value has."""
    label_values: dict[str, int] = {}
    parts: dict[int, tuple[int, ...]] = {}
    following = 1 + max((value for values in structures.values() for value in values), default=0)
    for name, values in structures.items():
        if len(values) == 1 and values[0] not in label_values.values():
            label_values[name] = values[0]
        else:
            label_values[name] = following
            parts[following] = values
            following += 1
    return label_values, parts


def _record(folder: Path, images: Path, values: dict[str, Any]) -> CaseRecord:
    labels = values["labels"]
    return CaseRecord(
        name=str(values["case"]),
        split=str(values["split"]),
        dataset=str(values.get("dataset", "")),
        image=images / values["image"],
        labels=None if labels is None else folder / labels,
        label_values={name: int(value) for name, value in (values["label_map"] or {}).items()},
    )


def _prepare_image(record: CaseRecord, config: SegVolConfig) -> dict[str, Any]:
    _, _, prepared = _read(record, config)
    return {"image": prepared.image.half()}


def _prepare_arrays(record: CaseRecord, config: SegVolConfig) -> dict[str, Any]:
    case, spacing, prepared = _read(record, config)
    regions = _pseudo_labels(case, spacing, prepared)
    return {
        "image": prepared.image.half(),
        "labels": None if case.labels is None else prepared.sample(case.labels),
        "structures": {name: tuple(values) for name, values in case.structures.items()},
        "regions": regions.regions,
        "region_scale": list(regions.scale),
        "region_offset": list(regions.offset),
    }


def _read(record: CaseRecord, config: SegVolConfig) -> tuple[CaseVolume, Spacing3, PreparedVolume]:
    case = read_case_volume(record)
    spacing = (1.0, 1.0, 1.0) if case.spacing_zyx is None else case.spacing_zyx
    check_network_reads(
        record.name,
        config,
        millimetres=case.spacing_zyx is not None,
        hounsfield=case.in_hounsfield,
    )
    return case, spacing, prepare(case.voxels, spacing, config)


def _pseudo_labels(case: CaseVolume, spacing: Spacing3, prepared: PreparedVolume) -> PseudoLabels:
    if case.in_hounsfield and case.spacing_zyx is not None:
        return pseudo_labels(case.voxels, spacing, prepared)
    # They are found by differences in Hounsfield units and sizes in millimetres.
    nothing = torch.zeros(1, 1, 1, dtype=torch.int16)
    return PseudoLabels(nothing, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
