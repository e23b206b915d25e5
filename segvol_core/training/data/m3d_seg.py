"""The published M3D-Seg layout: folders ``<code>`` with a ``<code>.json`` that lists their cases.

The JSON's fields are those of the Decathlon, but ``train`` and ``test``, each a list of
``{"image": ".../image.npy", "label": ".../mask_(…).npz"}``. Paths begin with the folder of all data
sets, or with whatever folder they were made in; what counts are their last two parts.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from segvol_core.training.data.json_files import names_by_value, read_json_object
from segvol_core.training.data.records import TRAIN, VALIDATION, CaseRecord, TrainingDataError

_SPLITS = (("train", TRAIN), ("validation", VALIDATION), ("test", VALIDATION))


def m3d_lists(folder: Path) -> list[Path]:
    """Lists of cases of a data set, or of all data sets in a folder."""
    own = folder / f"{folder.resolve().name}.json"
    if own.is_file():
        return [own]
    found = (each / f"{each.name}.json" for each in sorted(folder.iterdir()) if each.is_dir())
    return [path for path in found if path.is_file()]


def read_m3d_seg(folder: Path) -> list[CaseRecord]:
    """Cases of one data set, or of all in a folder; the published test cases are for validation.

    Raises
    ------
    TrainingDataError
        If a list does not hold what it should.
    """
    records = []
    for path in m3d_lists(folder):
        description = read_json_object(path)
        channels = names_by_value(path, description.get("labels"))
        for key, split in _SPLITS:
            records += [
                _record(path, entry, split, channels) for entry in description.get(key) or []
            ]
    return records


def _record(path: Path, entry: Any, split: str, channels: dict[str, int]) -> CaseRecord:
    try:
        image, masks = (_in_folder(path.parent, str(entry[key])) for key in ("image", "label"))
    except (KeyError, TypeError) as error:
        raise TrainingDataError(
            f"{path}: a case is not of the form {{image: FILE, label: FILE}}."
        ) from error
    code = path.parent.name
    return CaseRecord(f"{code}-{image.parent.name}", split, code, image, masks, channels)


def _in_folder(folder: Path, stated: str) -> Path:
    parts = PurePosixPath(stated.replace("\\", "/")).parts
    return folder.joinpath(*parts[-2:])
