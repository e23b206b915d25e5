"""Label maps: what their values mean, and their voxels put on those of a CT."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segvol_core.errors import SegVolError
from segvol_core.volume import Volume

Labels = NDArray[np.integer[Any]]

_NAME_COLUMNS = ("structure", "name", "label")
_VALUE_COLUMNS = ("id", "value")
_SAME_PLACE_MM = 1e-2


class EvaluationError(SegVolError):
    """Cases, labels or structures that cannot be evaluated."""


def read_label_map(path: Path) -> dict[str, int]:
    """Value of each structure's label.

    Parameters
    ----------
    path
        JSON, an object from name to value; or CSV with a header, names in the column ``structure``
        (or ``name``, ``label``), values in ``id`` (or ``value``).

    Raises
    ------
    EvaluationError
        If it is neither.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise EvaluationError(f"The label map {path} cannot be read as text.") from error
    try:
        pairs = _json_pairs(text) if path.suffix.lower() == ".json" else _csv_pairs(text)
        values = [(str(name).strip(), int(value)) for name, value in pairs]
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise EvaluationError(
            f"{path} is no label map: it must be a JSON object from name to value, or a CSV with "
            f"the columns {_NAME_COLUMNS[0]} and {_VALUE_COLUMNS[0]}."
        ) from error
    names = [name for name, _ in values]
    if not names or "" in names or len(set(names)) < len(names):
        raise EvaluationError(f"{path} has no names, or one that is empty or there twice.")
    return dict(values)


def whole_numbers(voxels: NDArray[Any], whose: str) -> Labels:
    """Voxels of a label map as integers, whatever type its file keeps them in.

    Parameters
    ----------
    whose
        Begin of the sentence for the user, such as ``The labels of case7``.

    Raises
    ------
    EvaluationError
        If one of them is no whole number.
    """
    if np.issubdtype(voxels.dtype, np.integer):
        return voxels
    if not np.array_equal(voxels, np.rint(voxels)):
        raise EvaluationError(f"{whose} are no whole numbers.")
    return voxels.astype(np.int32)


def labels_on_voxels(volume: Volume, labels: Volume, whose: str) -> NDArray[Any]:
    """Labels (k, j, i) in the order of a CT's axes, which may differ from that of their file.

    Raises
    ------
    EvaluationError
        If they do not lie on the voxels of the CT; nothing is resampled.
    """
    upright, upright_labels = volume.canonical(), labels.canonical()
    apart = np.abs(upright.zyx_to_ras - upright_labels.zyx_to_ras).max()
    if upright.shape_zyx != upright_labels.shape_zyx or apart > _SAME_PLACE_MM:
        raise EvaluationError(f"{whose} do not lie on the voxels of its CT.")
    return upright.restore(upright_labels.voxels)


def _json_pairs(text: str) -> Iterable[tuple[Any, Any]]:
    pairs: Iterable[tuple[Any, Any]] = json.loads(text).items()
    return pairs


def _csv_pairs(text: str) -> list[tuple[str, str]]:
    rows = list(csv.DictReader(text.splitlines()))
    name, *_ = (column for column in _NAME_COLUMNS if column in rows[0])
    value, *_ = (column for column in _VALUE_COLUMNS if column in rows[0])
    return [(row[name], row[value]) for row in rows]
