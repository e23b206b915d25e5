"""Masks that may overlap, kept in one array: each combination of structures has a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from segvol_core.training.data.records import TrainingDataError

LabelArray = npt.NDArray[np.uint8] | npt.NDArray[np.int16]
Structures = Mapping[str, tuple[int, ...]]
"""Values that make up each structure."""


class MaskLayers:
    """Collects masks of one shape, one after the other, so that few are in memory at once."""

    def __init__(self, shape: Sequence[int]) -> None:
        self._values = np.zeros(tuple(shape), dtype=np.int32)
        self._members: list[tuple[str, ...]] = [()]
        self._names: list[str] = []

    def add(self, name: str, mask: npt.NDArray[np.bool_]) -> None:
        """Add the mask of a structure, which may be empty."""
        self._names.append(name)
        inside = self._values[mask]
        for value in np.unique(inside):
            self._members.append((*self._members[value], name))
            inside[self._values[mask] == value] = len(self._members) - 1
        self._values[mask] = inside

    def combined(self) -> tuple[LabelArray, Structures]:
        """The array, 0 where no structure is, and the values of each structure.

        Raises
        ------
        TrainingDataError
            If there are more combinations than 16 bits can number.
        """
        used, renumbered = np.unique(self._values, return_inverse=True)
        if used[0] != 0:  # no voxel without a structure
            used, renumbered = np.insert(used, 0, 0), renumbered + 1
        structures = {
            name: tuple(
                new for new, value in enumerate(used.tolist()) if name in self._members[value]
            )
            for name in self._names
        }
        return smallest_integers(renumbered.reshape(self._values.shape)), structures


def smallest_integers(labels: npt.NDArray[np.integer[Any]]) -> LabelArray:
    """Labels in the smallest type that holds them.

    Raises
    ------
    TrainingDataError
        If a label is negative or above 32767.
    """
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0 or highest > np.iinfo(np.int16).max:
        raise TrainingDataError(f"labels run from {lowest} to {highest}; they must be 0 to 32767.")
    if highest <= np.iinfo(np.uint8).max:
        return np.asarray(labels, dtype=np.uint8)
    return np.asarray(labels, dtype=np.int16)
