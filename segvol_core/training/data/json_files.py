"""Descriptions of data sets in JSON, and what their fields have in common."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from segvol_core import organs
from segvol_core.training.data.records import TrainingDataError

BACKGROUND = "background"


def read_json_object(path: Path) -> dict[str, Any]:
    """Fields of a JSON file.

    Raises
    ------
    TrainingDataError
        If it cannot be read or is no object.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise TrainingDataError(f"{path} cannot be read as JSON: {error}.") from error
    if not isinstance(values, dict):
        raise TrainingDataError(f"{path} is no JSON object with the fields of a data set.")
    return values


def names_by_value(path: Path, labels: Any) -> dict[str, int]:
    """Value of each structure from ``{"0": "background", "1": "liver"}``.

    Raises
    ------
    TrainingDataError
        If it is no such object, or a name is there twice.
    """
    try:
        pairs = [(str(name).strip(), int(value)) for value, name in labels.items()]
    except (AttributeError, TypeError, ValueError) as error:
        raise TrainingDataError(
            f"{path}: “labels” must be an object from value to name, such as "
            '{"0": "background", "1": "liver"}.'
        ) from error
    names = [name for name, _ in pairs]
    if "" in names or len(set(names)) < len(names):
        raise TrainingDataError(f"{path}: “labels” has a name that is empty or there twice.")
    return {name: value for name, value in pairs if is_structure(name, value)}


def is_structure(name: str, value: int) -> bool:
    """Whether a label is no background: an organ that is given 0 is one by mistake."""
    return name != BACKGROUND and (value != 0 or organs.find_known(name) is not None)


def only_channel(path: Path, channels: Any) -> str:
    """What a data set calls the one image of each case, such as ``"CT"``; empty if nothing.

    Raises
    ------
    TrainingDataError
        If it has several.
    """
    if isinstance(channels, dict) and len(channels) > 1:
        listed = ", ".join(map(str, channels.values()))
        raise TrainingDataError(f"{path}: each case has several images ({listed}); CT is one.")
    return str(next(iter(channels.values()))) if isinstance(channels, dict) and channels else ""
