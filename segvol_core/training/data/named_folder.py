"""A folder of CTs in any arrangement, described by a small ``dataset.yaml`` in it.

With label maps::

    image: "images/{case}.nii.gz"
    labels: "labels/{case}.nrrd"
    structures: {liver: 1, left kidney: 2}

or with a file per structure::

    image: "{case}/ct.nii.gz"
    masks: "{case}/segmentations/{structure}.nii.gz"
    structures: [liver, kidney_left]      # left out: every file that is there

``validation`` may name cases that are kept for validation, ``name`` the data set. A CT without
labels is an unlabelled case, and a structure without a file is not annotated in that case.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import ConfigDict, StringConstraints, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from segvol_core.training.data.records import (
    TRAIN,
    UNLABELLED,
    VALIDATION,
    CaseRecord,
    TrainingDataError,
)

DESCRIPTION = "dataset.yaml"

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class FolderDescription:
    """What a ``dataset.yaml`` says.

    Attributes
    ----------
    image, labels, masks
        Paths in the folder, with ``{case}`` (and ``{structure}`` in ``masks``) in them.
    structures
        Names and their values in the label maps; or, for masks, names as the files have them, or
        names and what the files call them.
    """

    image: str
    labels: str | None = None
    masks: str | None = None
    structures: dict[Name, int] | dict[Name, str] | tuple[Name, ...] = ()
    validation: tuple[str, ...] = ()
    name: str = ""


def read_named_folder(folder: Path) -> list[CaseRecord]:
    """Cases of a folder with a ``dataset.yaml``.

    Raises
    ------
    TrainingDataError
        If it says something else than it may, no CT is where it says, or a structure that it names
        has no file in any case.
    """
    path = folder / DESCRIPTION
    description = _read_description(path)
    files = sorted(
        each.relative_to(folder).as_posix()
        for each in folder.rglob("*")
        if not each.name.startswith(".")  # macOS leaves such files beside those of others.
    )
    images = _without_labels(_matches(description.image, files), description, files)
    if not images:
        raise TrainingDataError(f"{path}: no file is named like {description.image}.")
    masks: dict[str, dict[str, str]] = {}
    if description.masks is not None:
        for file, found in _matches(description.masks, files).items():
            masks.setdefault(found["case"], {})[found["structure"]] = file
        _check_structures(path, description, masks.values())
    there = set(files)
    records = []
    for file, found in images.items():
        case = found["case"]
        labels = None
        if description.labels is not None:
            labels = description.labels.replace("{case}", case)
            labels = labels if labels in there else None
        values = description.structures if labels is not None else {}
        own = _named_masks(description, masks.get(case, {}))
        labelled = labels is not None or bool(own)
        split = VALIDATION if case in description.validation else TRAIN
        records.append(
            CaseRecord(
                name=case,
                split=split if labelled else UNLABELLED,
                dataset=description.name or folder.resolve().name,
                image=folder / file,
                labels=None if labels is None else folder / labels,
                label_values=dict(values),  # type: ignore[arg-type]
                masks={name: folder / mask for name, mask in own.items()},
            )
        )
    labelled_cases = {record.name for record in records if record.split != UNLABELLED}
    missing = [case for case in description.validation if case not in labelled_cases]
    if missing:
        raise TrainingDataError(f"{path}: there is no labelled case {missing[0]} for validation.")
    return records


def _read_description(path: Path) -> FolderDescription:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
        description = TypeAdapter(FolderDescription).validate_python(values)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise TrainingDataError(f"{path} cannot be read as YAML: {error}") from error
    except ValidationError as error:
        raise TrainingDataError(f"{path}: {sentences(error)}") from error
    if "{case}" not in description.image:
        raise TrainingDataError(f"{path}: “image” must have {{case}} in it.")
    if (description.labels is None) == (description.masks is None):
        raise TrainingDataError(f"{path}: give either “labels” or “masks”.")
    if description.labels is not None:
        if "{case}" not in description.labels:
            raise TrainingDataError(f"{path}: “labels” must have {{case}} in it.")
        numbers = description.structures
        if not isinstance(numbers, dict) or not all(isinstance(v, int) for v in numbers.values()):
            raise TrainingDataError(
                f"{path}: “structures” must name the values of the labels, such as {{liver: 1}}."
            )
    elif "{case}" not in (masks := description.masks or "") or "{structure}" not in masks:
        raise TrainingDataError(f"{path}: “masks” must have {{case}} and {{structure}} in it.")
    return description


def sentences(error: ValidationError) -> str:
    """What is wrong with settings, in a line."""
    found: dict[str, dict[str, None]] = {}
    for each in error.errors():
        field = ".".join(str(part) for part in each["loc"] if not _is_kind(part))
        found.setdefault(field, {})[_reason(each["type"], each["msg"])] = None
    wrong = {field: ", or ".join(reasons) for field, reasons in found.items()}
    return "; ".join(f"“{field}” {reasons}" for field, reasons in wrong.items()) + "."


def _is_kind(part: int | str) -> bool:
    """Whether a part of a place says which of several types was tried, as ``tuple[str, ...]``."""
    return part in {"int", "float", "str"} or not re.fullmatch(r"\w+", str(part))


_REASONS = {
    "unexpected_keyword_argument": "is not known",
    "missing": "is missing",
    "missing_argument": "is missing",
    "tuple_type": "should be a list, such as [first, second]",
    "dict_type": "should have fields, such as {name: value}",
    "dataclass_type": "should have fields, such as {name: value}",
    "too_short": "is empty",
    "path_type": "is wrong: it should be a path",
}
"""Kinds of errors of pydantic whose own words are about Python and not about the file."""


def _reason(kind: str, message: str) -> str:
    message = message.removeprefix("Value error, ")
    return _REASONS.get(kind, f"is wrong: {message[0].lower()}{message[1:]}")


def _matches(pattern: str, files: Iterable[str]) -> dict[str, dict[str, str]]:
    """Files that fit a pattern, and what stands in them for its names."""
    seen: set[str] = set()
    expression = ""
    for part in re.split(r"(\{case\}|\{structure\})", pattern):
        name = part.strip("{}")
        if part not in {"{case}", "{structure}"}:
            expression += re.escape(part)
        elif name in seen:
            expression += f"(?P={name})"
        else:
            seen.add(name)
            expression += f"(?P<{name}>[^/]+)"
    found = ((file, re.fullmatch(expression, file)) for file in files)
    return {file: match.groupdict() for file, match in found if match is not None}


def _without_labels(
    images: dict[str, dict[str, str]], description: FolderDescription, files: Iterable[str]
) -> dict[str, dict[str, str]]:
    """Leave out label maps that are named like a CT: a_labels.nrrd is no case “a_labels”."""
    if description.labels is None:
        return images
    of_another = {
        file
        for file, found in _matches(description.labels, files).items()
        if description.image.replace("{case}", found["case"]) in images
    }
    return {file: found for file, found in images.items() if file not in of_another}


def _check_structures(
    path: Path, description: FolderDescription, masks: Collection[dict[str, str]]
) -> None:
    """Make sure that each structure has a file in some case, if there are any files."""
    there = sorted({name for of_a_case in masks for name in of_a_case})
    missing = [file for file in _called(description).values() if file not in there]
    if masks and missing:
        shown = ", ".join(there[:20]) + (", …" if len(there) > 20 else "")
        raise TrainingDataError(
            f"{path}: no case has a file for {', '.join(missing)}. There are files for {shown}."
        )


def _called(description: FolderDescription) -> dict[str, str]:
    """What files call each structure that is wanted; empty if all are."""
    wanted = description.structures
    names = wanted if isinstance(wanted, dict) else {name: name for name in wanted}
    return {name: str(file) for name, file in names.items()}


def _named_masks(description: FolderDescription, found: dict[str, str]) -> dict[str, str]:
    if not description.structures:
        return found
    return {name: found[file] for name, file in _called(description).items() if file in found}
