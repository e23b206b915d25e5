"""``dataset.json`` of the Medical Segmentation Decathlon, as MONAI and nnU-Net 1 read it.

Its fields: ``labels`` from value to name; ``training``, and sometimes ``validation``, a list of
``{"image": …, "label": …}`` with paths in the folder; ``test``, paths of CTs without labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segvol_core.training.data.json_files import (
    names_by_value,
    only_channel,
    read_json_object,
)
from segvol_core.training.data.records import (
    TRAIN,
    UNLABELLED,
    VALIDATION,
    CaseRecord,
    TrainingDataError,
)

_NNUNET_CHANNEL = "_0000"


def is_decathlon(description: Mapping[str, Any]) -> bool:
    """Whether a ``dataset.json`` lists its cases."""
    return isinstance(description.get("training"), list)


def read_decathlon(folder: Path) -> list[CaseRecord]:
    """Cases of a folder with such a ``dataset.json``; its test cases are unlabelled ones.

    Raises
    ------
    TrainingDataError
        If a field does not hold what it should.
    """
    path = folder / "dataset.json"
    description = read_json_object(path)
    modality = only_channel(path, description.get("modality"))
    values = names_by_value(path, description.get("labels"))
    dataset = str(description.get("name", folder.name))
    records = []
    for key, split in (("training", TRAIN), ("validation", VALIDATION), ("test", UNLABELLED)):
        for entry in description.get(key) or []:
            image, labels = _files(path, entry)
            labelled = labels is not None
            records.append(
                CaseRecord(
                    name=case_name(image),
                    split=split if labelled else UNLABELLED,
                    dataset=dataset,
                    image=_existing(folder / image),
                    labels=None if labels is None else folder / labels,
                    label_values=values if labelled else {},
                    modality=modality,
                )
            )
    return records


def case_name(file: str) -> str:
    """Name of a case from that of its CT, without endings and channel."""
    return Path(file).name.split(".")[0].removesuffix(_NNUNET_CHANNEL)


def _files(path: Path, entry: Any) -> tuple[str, str | None]:
    if isinstance(entry, str):
        return entry, None
    if isinstance(entry, dict) and isinstance(entry.get("image"), str):
        labels = entry.get("label")
        if labels is None or isinstance(labels, str):
            return entry["image"], labels
    raise TrainingDataError(f"{path}: a case is not of the form {{image: FILE, label: FILE}}.")


def _existing(image: Path) -> Path:
    """The file, or the one that nnU-Net 1 means by it, which has the channel in its name."""
    if image.is_file():
        return image
    stem, dot, endings = image.name.partition(".")
    with_channel = image.with_name(stem + _NNUNET_CHANNEL + dot + endings)
    return with_channel if with_channel.is_file() else image
