"""nnU-Net's raw data: ``imagesTr``, ``labelsTr`` and a ``dataset.json`` (version 2).

Its fields: ``labels`` from name to value, or to several values that make up a region;
``channel_names``; ``file_ending``. CTs are named ``<case>_0000<ending>``, label maps
``<case><ending>``. ``imagesTs`` holds CTs without labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segvol_core.training.data.json_files import BACKGROUND, check_one_channel, read_json_object
from segvol_core.training.data.records import TRAIN, UNLABELLED, CaseRecord, TrainingDataError

_CHANNEL = "_0000"
_IGNORE = "ignore"


def is_nnunet(folder: Path, description: Mapping[str, Any]) -> bool:
    """Whether a folder with this ``dataset.json`` has this layout."""
    return (folder / "imagesTr").is_dir() and "labels" in description


def read_nnunet(folder: Path) -> list[CaseRecord]:
    """Cases of a folder in this layout.

    Raises
    ------
    TrainingDataError
        If a field does not hold what it should, a CT has no label map, or labels are to be ignored.
    """
    path = folder / "dataset.json"
    description = read_json_object(path)
    check_one_channel(path, description.get("channel_names"))
    single, united = _labels(path, description["labels"])
    ending = str(description.get("file_ending", ".nii.gz"))
    dataset = str(description.get("name", folder.name))
    records = []
    for image in sorted((folder / "imagesTr").glob(f"*{_CHANNEL}{ending}")):
        name = image.name.removesuffix(_CHANNEL + ending)
        labels = folder / "labelsTr" / (name + ending)
        records.append(CaseRecord(name, TRAIN, dataset, image, labels, single, united))
    for image in sorted((folder / "imagesTs").glob(f"*{_CHANNEL}{ending}")):
        name = image.name.removesuffix(_CHANNEL + ending)
        records.append(CaseRecord(name, UNLABELLED, dataset, image, None, {}))
    if not records:
        raise TrainingDataError(f"{folder / 'imagesTr'} has no CT named <case>{_CHANNEL}{ending}.")
    return records


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
            elif name != BACKGROUND and int(value) != 0:
                single[name] = int(value)
    except (AttributeError, TypeError, ValueError) as error:
        raise TrainingDataError(
            f"{path}: “labels” must be an object from name to value, such as "
            '{"background": 0, "liver": 1}.'
        ) from error
    return single, united
