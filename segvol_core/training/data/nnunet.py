"""nnU-Net's raw data: ``imagesTr``, ``labelsTr`` and a ``dataset.json`` (version 2).

Its fields: ``labels`` from name to value, or to several values that make up a region;
``channel_names``; ``file_ending``. CTs are named ``<case>_0000<ending>``, label maps
``<case><ending>``. ``imagesTs`` holds CTs without labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from segvol_core.training.data.json_files import is_structure, only_channel, read_json_object
from segvol_core.training.data.records import TRAIN, UNLABELLED, CaseRecord, TrainingDataError

_CHANNEL = "_0000"
_IGNORE = "ignore"


def is_nnunet(folder: Path) -> bool:
    """Whether a folder has this layout, with a ``dataset.json`` that lists no cases itself."""
    return (folder / "imagesTr").is_dir()


def read_nnunet(folder: Path) -> list[CaseRecord]:
    """Cases of a folder in this layout.

    Raises
    ------
    TrainingDataError
        If a field does not hold what it should, a CT has no label map or a label map no CT, or
        labels are to be ignored.
    """
    path = folder / "dataset.json"
    description = read_json_object(path)
    modality = only_channel(path, description.get("channel_names"))
    single, united = _labels(path, description.get("labels"))
    ending = str(description.get("file_ending", ".nii.gz"))
    dataset = str(description.get("name", folder.name))
    records = []
    for image in _files(folder / "imagesTr", _CHANNEL + ending):
        name = image.name.removesuffix(_CHANNEL + ending)
        labels = folder / "labelsTr" / (name + ending)
        records.append(
            CaseRecord(name, TRAIN, dataset, image, labels, single, united, modality=modality)
        )
    for image in _files(folder / "imagesTs", _CHANNEL + ending):
        name = image.name.removesuffix(_CHANNEL + ending)
        records.append(CaseRecord(name, UNLABELLED, dataset, image, None, {}, modality=modality))
    if not records:
        raise TrainingDataError(f"{folder / 'imagesTr'} has no CT named <case>{_CHANNEL}{ending}.")
    with_ct = {record.labels for record in records}
    for labels in _files(folder / "labelsTr", ending):
        if labels not in with_ct:
            name = labels.name.removesuffix(ending) + _CHANNEL + ending
            raise TrainingDataError(f"{labels} has no CT imagesTr/{name}.")
    return records


def _files(folder: Path, ending: str) -> Iterator[Path]:
    """Files with an ending, but for the hidden ones that macOS leaves beside those of others."""
    for path in sorted(folder.glob(f"*{ending}")):
        if not path.name.startswith("."):
            yield path


def _labels(path: Path, labels: Any) -> tuple[dict[str, int], dict[str, tuple[int, ...]]]:
    single: dict[str, int] = {}
    united: dict[str, tuple[int, ...]] = {}
    try:
        for name, value in labels.items():
            if name == _IGNORE:
                raise TrainingDataError(
                    f"{path}: voxels that are to be ignored cannot be; they would be taught as "
                    "background. Leave such cases out."
                )
            if isinstance(value, list):
                united[name] = tuple(int(each) for each in value)
            elif is_structure(name, int(value)):
                single[name] = int(value)
    except (AttributeError, TypeError, ValueError) as error:
        raise TrainingDataError(
            f"{path}: “labels” must be an object from name to value, such as "
            '{"background": 0, "liver": 1}.'
        ) from error
    return single, united
