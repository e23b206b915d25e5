"""A look at all cases before a training: what would stop it, and what might spoil it."""

from __future__ import annotations

import collections
import difflib
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from segvol_core import organs
from segvol_core.model.config import SegVolConfig
from segvol_core.training.data.reading import CaseVolume, Spacing3, read_case_volume
from segvol_core.training.data.records import TRAIN, CaseRecord, TrainingDataError

_SPACING_MM = (0.2, 10.0)
"""Voxels of CTs of patients are within; others are mostly a header without a size."""
_TILT_DEGREES = 10.0
_OTHER_SPACING = 3.0
"""So many times the median slice distance of all cases is worth a look."""
_FEW_VOXELS = 8
_ALIKE = 0.8
"""Names with this ratio of ``difflib`` differ by a slip: "spinal chord" has 0.96."""
_ALL_CASES = "all cases"
_NO_CT = re.compile(r"\b(mri?|magnetic|t[12]\w*|flair|dwi|adc|pet|us|ultrasound)\b", re.IGNORECASE)
_ANY_NETWORK = "Take one that can do without, such as “start: segvol”."


@dataclass(frozen=True)
class Finding:
    """Something that a person should know about a case; an error stops the training."""

    case: str
    message: str
    is_error: bool = False


@dataclass(frozen=True)
class CheckedCase:
    """Figures of a case that could be read.

    Attributes
    ----------
    shape_zyx
        Voxels in upright axes.
    spacing_zyx
        In mm, None where the files do not say.
    orientation
        Where the file's axes i, j, k point to, such as ``"LPS"``.
    lowest, highest
        Values of voxels.
    voxels
        Of each annotated structure.
    modality
        What the folder calls its images; empty if it does not say.
    """

    name: str
    split: str
    shape_zyx: tuple[int, ...]
    spacing_zyx: Spacing3 | None
    orientation: str
    lowest: float
    highest: float
    voxels: dict[str, int]
    modality: str = ""


@dataclass(frozen=True)
class DataReport:
    """What was found in a folder."""

    cases: tuple[CheckedCase, ...]
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings that stop a training."""
        return tuple(finding for finding in self.findings if finding.is_error)

    @property
    def voxels(self) -> dict[str, list[int]]:
        """Of each structure its voxels in the cases that are annotated for it."""
        found: dict[str, list[int]] = collections.defaultdict(list)
        for case in self.cases:
            for name, count in case.voxels.items():
                found[name].append(count)
        return dict(found)


def check_cases(
    records: Iterable[CaseRecord], config: SegVolConfig
) -> Iterator[Finding | CheckedCase]:
    """Read one case after the other; findings come before the figures of their case."""
    for record in records:
        try:
            case = read_case_volume(record)
        except TrainingDataError as error:
            yield Finding(record.name, str(error).removeprefix(f"{record.name}: "), is_error=True)
            continue
        voxels = _voxels_of(case)
        yield from _findings(record, case, voxels, config)
        yield CheckedCase(
            record.name,
            record.split,
            case.voxels.shape,
            case.spacing_zyx,
            case.orientation,
            float(case.voxels.min()),
            float(case.voxels.max()),
            voxels,
            record.modality,
        )


def report_on(found: Iterable[Finding | CheckedCase], *, labels: bool = True) -> DataReport:
    """Put together what was found in single cases, and look at all of them together.

    Parameters
    ----------
    labels
        Whether the training learns from labels.
    """
    cases, findings = [], []
    for each in found:
        if isinstance(each, Finding):
            findings.append(each)
        else:
            cases.append(each)
    report = DataReport(tuple(cases), tuple(findings))
    return DataReport(report.cases, (*report.findings, *_findings_together(report, labels)))


def _voxels_of(case: CaseVolume) -> dict[str, int]:
    if case.labels is None:
        return {}
    counts = np.bincount(case.labels.ravel())
    return {
        name: int(sum(counts[value] for value in values if value < len(counts)))
        for name, values in case.structures.items()
    }


def _findings(
    record: CaseRecord, case: CaseVolume, voxels: dict[str, int], config: SegVolConfig
) -> Iterator[Finding]:
    for message in case.warnings:
        yield Finding(record.name, message)
    if case.tilt_degrees > _TILT_DEGREES:
        yield Finding(
            record.name,
            f"its axes are {case.tilt_degrees:.0f}° from the patient's; they are taken as they lie",
        )
    if case.spacing_zyx is None and config.spacing_mm is not None:
        yield Finding(
            record.name,
            "its files do not say how large a voxel is, and this network works at "
            f"{config.spacing_mm[0]:g} mm. {_ANY_NETWORK}",
            is_error=True,
        )
    elif case.spacing_zyx is None:
        yield Finding(
            record.name,
            "its files do not say how large a voxel is nor where its axes point: taken for RAS.",
        )
    elif not all(_SPACING_MM[0] <= mm <= _SPACING_MM[1] for mm in case.spacing_zyx):
        sizes = " x ".join(f"{mm:g}" for mm in case.spacing_zyx)
        yield Finding(record.name, f"a voxel of {sizes} mm (z, y, x) is unusual for a CT.")
    if not case.in_hounsfield and config.hounsfield_levels is not None:
        yield Finding(
            record.name,
            f"its values are normalised, and this network reads Hounsfield units. {_ANY_NETWORK}",
            is_error=True,
        )
    yield from _label_findings(record, case, voxels)


def _label_findings(
    record: CaseRecord, case: CaseVolume, voxels: dict[str, int]
) -> Iterator[Finding]:
    empty = [name for name, count in voxels.items() if count == 0]
    if empty and len(empty) == len(voxels):
        yield Finding(record.name, "its labels are empty: no structure has a voxel.")
    elif empty:
        yield Finding(record.name, f"empty labels: {_listed(empty)}.")
    small = [name for name, count in voxels.items() if 0 < count < _FEW_VOXELS]
    if small:
        yield Finding(record.name, f"labels of fewer than {_FEW_VOXELS} voxels: {_listed(small)}.")
    for one, other in itertools.combinations(case.structures, 2):
        if voxels[one] and set(case.structures[one]) == set(case.structures[other]):
            yield Finding(record.name, f"{one} and {other} are the very same voxels.")
    if case.labels is not None:
        known = {0, *(value for values in case.structures.values() for value in values)}
        unnamed = sorted(set(np.unique(case.labels).tolist()) - known)
        if unnamed:
            yield Finding(
                record.name,
                f"labels without a name, taught as background: {_listed(list(map(str, unnamed)))}.",
            )


def _findings_together(report: DataReport, labels: bool) -> Iterator[Finding]:
    training = [case for case in report.cases if case.split == TRAIN]
    if not report.cases:
        yield Finding(_ALL_CASES, "none of them can be read.", is_error=True)
        return
    if labels and not training:
        yield Finding(
            _ALL_CASES,
            "none has labels to train with; `segvol train` then learns from regions alone.",
        )
    shown = {name for case in training for name, count in case.voxels.items() if count}
    never = [name for name in report.voxels if name not in shown]
    if never:
        yield Finding(_ALL_CASES, f"no case for training shows {_listed(never)}.")
    words = [name for name in report.voxels if organs.find_known(name) is None]
    if words:
        yield Finding(
            _ALL_CASES,
            "not in the vocabulary, so that only these very words find them: "
            f"{_listed([_with_nearest(name) for name in words])}.",
        )
    others = sorted({case.modality for case in report.cases if _NO_CT.search(case.modality)})
    if others:
        yield Finding(
            _ALL_CASES, f"dataset.json calls the images {_listed(others)}, and SegVol is for CT."
        )
    slices = {case.name: case.spacing_zyx[0] for case in report.cases if case.spacing_zyx}
    if slices:
        median = float(np.median(list(slices.values())))
        for name, distance in slices.items():
            if not 1 / _OTHER_SPACING <= distance / median <= _OTHER_SPACING:
                yield Finding(
                    name,
                    f"its slices are {distance:g} mm apart, those of most cases {median:g} mm.",
                )


def _with_nearest(name: str) -> str:
    """A name, and the one of the vocabulary that it may be a misspelling of."""
    if len(name) > organs.MAX_TEXT_LENGTH:
        return name
    nearest = difflib.get_close_matches(name.casefold(), organs.suggest(name), 1, _ALIKE)
    return f"{name} ({nearest[0]}?)" if nearest else name


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:8])
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"
