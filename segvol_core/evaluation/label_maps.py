"""Files that say what the values of a label map mean."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from segvol_core.errors import SegVolError

_NAME_COLUMNS = ("structure", "name", "label")
_VALUE_COLUMNS = ("id", "value")


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


def _json_pairs(text: str) -> Iterable[tuple[Any, Any]]:
    pairs: Iterable[tuple[Any, Any]] = json.loads(text).items()
    return pairs


def _csv_pairs(text: str) -> list[tuple[str, str]]:
    rows = list(csv.DictReader(text.splitlines()))
    name, *_ = (column for column in _NAME_COLUMNS if column in rows[0])
    value, *_ = (column for column in _VALUE_COLUMNS if column in rows[0])
    return [(row[name], row[value]) for row in rows]
