"""Masks that another program made, out of a folder, scored like our own answers.

The folder has for each case, under its name in the index, either a label map (``case7.nii.gz``, or
Slicer's ``case7.seg.nrrd``) or a folder with a file per structure (``case7/liver.nii.gz``; what is
not 0 belongs to it).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segvol_core.evaluation.cases import LabelledCase
from segvol_core.evaluation.label_maps import EvaluationError
from segvol_core.evaluation.label_prompts import PromptKind
from segvol_core.evaluation.mask_files import SUFFIXES, MaskFile, find_name, read_masks
from segvol_core.evaluation.metrics import Mask
from segvol_core.evaluation.scoring import MIN_VOXELS, Answer, Score, large_enough, score_answer
from segvol_core.evaluation.structures import Structure
from segvol_core.training.data.records import CaseRecord

_CHOOSE = "--organs chooses what is compared."


@dataclass(frozen=True)
class PeerMasks:
    """Where the masks of one case are.

    Attributes
    ----------
    case
        Name of the case.
    path
        A label map, or a folder with a file per structure.
    values
        Of each structure in the label map.
    """

    case: str
    path: Path
    values: Mapping[str, tuple[int, ...]]


def find_masks(
    folder: Path, cases: Iterable[CaseRecord], label_values: Mapping[str, int] | None = None
) -> list[PeerMasks]:
    """Find the masks of each case.

    Parameters
    ----------
    folder
        Of the other program.
    cases
        Whose masks are wanted.
    label_values
        Values in its label maps; None if they are those of the labels.

    Raises
    ------
    EvaluationError
        If there is no such folder, or a case has no masks in it, or has them twice.
    """
    if not folder.is_dir():
        raise EvaluationError(f"There is no folder {folder} with masks.")
    own = None if label_values is None else {name: (n,) for name, n in label_values.items()}
    return [
        PeerMasks(case.name, _path_of(folder, case.name), case.values if own is None else own)
        for case in cases
    ]


def score_masks(
    case: LabelledCase,
    structures: Sequence[Structure],
    masks: PeerMasks,
    *,
    kind: PromptKind,
    min_voxels: int = MIN_VOXELS,
) -> Iterator[Score]:
    """Score the masks of a case, one for each structure that the case shows.

    Parameters
    ----------
    case
        CT and labels.
    structures
        What is scored; one of several members is the union of their masks.
    masks
        From :func:`find_masks`.
    kind
        What the masks were made from.
    min_voxels
        Smaller structures are left out.

    Raises
    ------
    EvaluationError
        If a file is missing, cannot be read, or does not lie on the voxels of the CT.
    """
    read: MaskFile | None = None
    for structure, label in large_enough(case, structures, min_voxels):
        if masks.path.is_dir():
            mask = _mask_of_files(case, masks, structure)
        else:
            if read is None:
                read = read_masks(masks.path, case, masks.values)
            mask = _mask_of_label_map(case, read, structure)
        yield score_answer(
            case, label, Answer(mask), structure=structure.name, kind=kind, windows="masks"
        )


def _path_of(folder: Path, case: str) -> Path:
    """Label map or folder with the masks of a case."""
    candidates = [folder / case, *(folder / f"{case}{suffix}" for suffix in SUFFIXES)]
    found = [path for path in candidates if path.exists()]
    if not found:
        raise EvaluationError(
            f"The masks of {case} are missing: {folder} has neither a label map such as "
            f"{case}.nii.gz nor a folder {case} with a file per structure."
        )
    if len(found) > 1:
        raise EvaluationError(
            f"{folder} has the masks of {case} twice: {', '.join(path.name for path in found)}."
        )
    return found[0]


def _mask_of_label_map(case: LabelledCase, read: MaskFile, structure: Structure) -> Mask:
    """Mask (k, j, i) that bears the structure's name, or else those of its members together."""
    whole = read.mask(structure.name)
    if whole is not None:
        return whole
    together = np.zeros(case.labels.shape, dtype=bool)
    for member in structure.members:
        mask = read.mask(member)
        if mask is None:
            raise EvaluationError(
                f"The label map with the masks of {case.name} does not name {member}. {_CHOOSE} "
                "--masks-label-map names the values."
            )
        together |= mask
    return together


def _mask_of_files(case: LabelledCase, masks: PeerMasks, structure: Structure) -> Mask:
    """Mask (k, j, i) of the structure's file, or else of its members' files together."""
    files = {_stem(path): path for path in sorted(masks.path.iterdir()) if _stem(path)}
    whole = find_name(files, structure.name)
    if whole is not None:
        return read_masks(files[whole], case, {}).anything()
    together = np.zeros(case.labels.shape, dtype=bool)
    for member in structure.members:
        named = find_name(files, member)
        if named is None:
            raise EvaluationError(
                f"The masks of {case.name} have no file for {member}, such as "
                f"{masks.path.name}/{member}.nii.gz. {_CHOOSE}"
            )
        together |= read_masks(files[named], case, {}).anything()
    return together


def _stem(path: Path) -> str:
    """Name of a file without a suffix that can be read; nothing for other files."""
    suffix = next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), None)
    return "" if suffix is None else path.name[: -len(suffix)]
