"""What one window of a case shows: annotated structures, and regions where nothing is annotated."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from segvol_core.training import augmentation as augment
from segvol_core.training.augmentation import Geometry, Positions
from segvol_core.training.cases import TrainingCase

BoolArray = npt.NDArray[np.bool_]
Target = tuple[BoolArray, BoolArray]
"""The mask of one structure in an overview and in a window of it."""

MIN_VOXELS = 16
"""Smaller targets are not asked for."""


_LEFT_OF_A_PART = (0.3, 0.7)


class WindowTargets:
    """Masks (D, H, W) of what a window of a case shows.

    Attributes
    ----------
    all_labels
        (D, H, W) label values, or None for a case without labels.
    """

    def __init__(self, case: TrainingCase, geometry: Geometry) -> None:
        self._regions = augment.sample_regions(case, geometry)
        self.all_labels: Tensor | None = None
        self._values_of = case.values_of
        if case.labels is not None:
            self.all_labels = augment.sample_labels(case.labels, geometry)
            self._counts = torch.bincount(self.all_labels.flatten().long(), minlength=256)

    def labels(self, known: Iterable[int], least: int = MIN_VOXELS) -> list[int]:
        """Those of the known structures of which at least so many voxels are shown."""
        if self.all_labels is None:
            return []
        return [value for value in known if self._voxels(value) >= least]

    def regions(self) -> list[int]:
        """Pseudo-labels that are large enough, and not mostly one of the structures."""
        free = self._regions if self.all_labels is None else self._regions * (self.all_labels == 0)
        total = torch.bincount(self._regions.flatten().long())
        without = torch.bincount(free.flatten().long(), minlength=len(total))
        large = (total >= 2 * MIN_VOXELS) & (without > 0.6 * total)
        # Half of a volume: a click there could mean anything.
        large &= total < 0.4 * self._regions.numel()
        return [int(region) for region in torch.nonzero(large)[:, 0] if region > 0]

    def regions_shown(self) -> list[int]:
        """Pseudo-labels of which the window shows enough."""
        total = torch.bincount(self._regions.flatten().long())
        return [int(region) for region in torch.nonzero(total >= 2 * MIN_VOXELS)[:, 0]]

    def label_mask(self, value: int) -> BoolArray:
        """Mask of a structure."""
        if self.all_labels is None:
            return self.nothing()
        return label_mask(self.all_labels, self._values_of(value)).numpy()

    def region_mask(self, region: int) -> BoolArray:
        """Mask of a pseudo-label, without the steps of its coarse voxels."""
        return augment.smooth_region(self._regions, region)

    def nothing(self) -> BoolArray:
        """An empty mask."""
        return np.zeros(tuple(self._regions.shape), dtype=bool)

    def _voxels(self, value: int) -> int:
        return sum(
            int(self._counts[part]) for part in self._values_of(value) if part < len(self._counts)
        )


def label_mask(labels: Tensor, values: tuple[int, ...]) -> Tensor:
    """Where labels are one of some values."""
    if len(values) == 1:
        return labels == values[0]
    return torch.isin(labels, torch.tensor(values, dtype=labels.dtype))


class TargetPairs:
    """What an overview and a window of it show: both, or only one of them.

    Attributes
    ----------
    positions
        Where the window's voxels lie in the overview.
    flipped
        Axes (z, y, x) that run backwards.
    """

    def __init__(
        self,
        overview: WindowTargets,
        window: WindowTargets,
        positions: Positions,
        flipped: tuple[bool, bool, bool],
    ) -> None:
        self._overview, self._window = overview, window
        self.positions, self.flipped = positions, flipped

    def labels(self, known: dict[int, str]) -> list[int]:
        """Structures in both."""
        seen = set(self._overview.labels(known, 1))
        return [value for value in self._window.labels(known) if value in seen]

    def elsewhere(self, known: dict[int, str]) -> list[int]:
        """Structures of the overview that the window does not reach."""
        here = set(self._window.labels(known, 1))
        return [value for value in self._overview.labels(known) if value not in here]

    def absent(self, known: dict[int, str]) -> list[int]:
        """Structures that neither shows."""
        seen = set(self._overview.labels(known, 1)) | set(self._window.labels(known, 1))
        return [value for value in known if value not in seen]

    def regions(self) -> list[int]:
        """Pseudo-labels of the overview of which the window shows something."""
        here = set(self._window.regions_shown())
        return [region for region in self._overview.regions() if region in here]

    def label(self, value: int) -> Target:
        """Masks of a structure."""
        return self._overview.label_mask(value), self._window.label_mask(value)

    def region(self, region: int) -> Target | None:
        """Masks of a pseudo-label, or None if too little of it is left after smoothing."""
        whole = self._overview.region_mask(region)
        window = self._window.region_mask(region)
        return (whole, window) if whole.any() and window.any() else None

    def nothing(self) -> Target:
        """Empty masks."""
        return self._overview.nothing(), self._window.nothing()


def part_of(target: Target, positions: Positions, rng: np.random.Generator) -> Target | None:
    """What a random plane leaves of a target, or None if the window loses all of it.

    Lobes and segments of organs end where no grey value changes.

    Parameters
    ----------
    target
        Its mask in the overview is not empty.
    positions
        Where the window's voxels lie in the overview.
    """
    whole, window = target
    direction = rng.standard_normal(3)
    along = _along(direction, [np.arange(n) for n in whole.shape])
    limit = np.quantile(along[whole], rng.uniform(*_LEFT_OF_A_PART))
    along_window = _along(direction, [axis.numpy() for axis in positions])
    part = whole & (along <= limit), window & (along_window <= limit)
    return part if part[0].any() and part[1].any() else None


def _along(
    direction: npt.NDArray[np.float64], positions: Sequence[npt.NDArray[Any]]
) -> npt.NDArray[np.float64]:
    """How far voxels (D, H, W) at positions per axis lie along a direction."""
    z, y, x = (part * axis for part, axis in zip(direction, positions, strict=True))
    along: npt.NDArray[np.float64] = z[:, None, None] + y[:, None] + x
    return along
