"""What a folder says about its cases, whatever its layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from segvol_core.errors import SegVolError

TRAIN, VALIDATION, UNLABELLED = "train", "validation", "unlabelled"

VALIDATION_SHARE = 0.2
"""Of the labelled cases of a folder that does not say which ones are for validation."""


class TrainingDataError(SegVolError):
    """A training folder that is missing, incomplete or does not fit its index."""


@dataclass(frozen=True)
class CaseRecord:
    """A CT, where its labels are if it has any, and what it is for.

    Attributes
    ----------
    split
        ``"train"``, ``"validation"`` or ``"unlabelled"``.
    labels
        Label map, or the sparse masks of the M3D-Seg layout; None without either.
    label_values
        Value in the label map of each annotated structure.
    united
        Values in the label map of structures that are several of them taken together.
    masks
        Structures that have a file of their own.
    modality
        What the folder calls its images, such as ``"CT"``; empty if it does not say.
    """

    name: str
    split: str
    dataset: str
    image: Path
    labels: Path | None
    label_values: dict[str, int]
    united: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    masks: Mapping[str, Path] = field(default_factory=dict)
    modality: str = ""

    @property
    def values(self) -> dict[str, tuple[int, ...]]:
        """Values in the label map that make up each of its structures."""
        single: Mapping[str, tuple[int, ...]] = {
            name: (value,) for name, value in self.label_values.items()
        }
        return {**single, **self.united}

    @property
    def structures(self) -> tuple[str, ...]:
        """Names of all annotated structures."""
        return (*self.label_values, *self.united, *self.masks)

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file of the case."""
        return (self.image, *(() if self.labels is None else (self.labels,)), *self.masks.values())
