"""What one window of a case shows: annotated structures, and regions where nothing is annotated."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from segvol_core.training import augmentation as augment
from segvol_core.training.augmentation import Geometry
from segvol_core.training.cases import TrainingCase

BoolArray = npt.NDArray[np.bool_]
Target = tuple[BoolArray, BoolArray]
"""The mask of one structure in an overview and in a window of it."""

MIN_VOXELS = 16
"""Smaller targets are not asked for."""


class WindowTargets:
    """Masks (D, H, W) of what a window of a case shows."""

    def __init__(self, case: TrainingCase, geometry: Geometry) -> None:
        self._regions = augment.sample_regions(case, geometry)
        self._labels: Tensor | None = None
        self._parts = case.parts
        if case.labels is not None:
            self._labels = augment.sample_labels(case.labels, geometry)
            self._counts = torch.bincount(self._labels.flatten().long(), minlength=256)

    def labels(self, known: Iterable[int], least: int = MIN_VOXELS) -> list[int]:
        """Those of the known structures of which at least so many voxels are shown."""
        if self._labels is None:
            return []
        return [value for value in known if self._voxels(value) >= least]

    def regions(self) -> list[int]:
        """Pseudo-labels that are large enough, and not mostly one of the structures."""
        free = self._regions if self._labels is None else self._regions * (self._labels == 0)
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
        if self._labels is None:
            return self.nothing()
        return label_mask(self._labels, self._parts.get(value, (value,))).numpy()

    def region_mask(self, region: int) -> BoolArray:
        """Mask of a pseudo-label, without the steps of its coarse voxels."""
        return augment.smooth_region(self._regions, region)

    def nothing(self) -> BoolArray:
        """An empty mask."""
        return np.zeros(tuple(self._regions.shape), dtype=bool)

    def _voxels(self, value: int) -> int:
        return sum(
            int(self._counts[part])
            for part in self._parts.get(value, (value,))
            if part < len(self._counts)
        )


def label_mask(labels: Tensor, values: tuple[int, ...]) -> Tensor:
    """Where labels are one of some values."""
    if len(values) == 1:
        return labels == values[0]
    return torch.isin(labels, torch.tensor(values, dtype=labels.dtype))
