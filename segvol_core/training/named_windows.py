"""Windows of a case on the name network's grid, and where in them is what its labels name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from segvol_core.model.config import Size3
from segvol_core.model.name_network import CELL
from segvol_core.training import augmentation as augment
from segvol_core.training.augmentation import Geometry, Overview, Strength
from segvol_core.training.cases import TrainingCase
from segvol_core.training.names import mirrored, spellings
from segvol_core.training.targets import label_mask

WINDOW: Size3 = (32, 40, 48)
"""Cells of what is shown, of 8 mm each in the starter: the width of a trunk."""

_ELASTIC_GRID = (3, 4, 4)
_MOST_PRESENT, _MOST_ABSENT, _MOST_FOREIGN = 16, 3, 1
_FEWEST_CELLS = 2


@dataclass(frozen=True)
class NamedWindow:
    """A window and the masks of some names in it.

    Attributes
    ----------
    grey, places
        (d, h, w) and (2, d, h, w), as the network takes them.
    names
        What a text encoder reads.
    masks
        (names, d, h, w), bool; empty for what is not there.
    """

    grey: Tensor
    places: Tensor
    names: list[str]
    masks: Tensor


class NamedWindows:
    """Draws windows from one case.

    Parameters
    ----------
    case
        A prepared case with labels.
    mirror_names
        Whether its mirror image shows left organs where right ones were, and otherwise the same.
    foreign_names
        Structures of other parts of the body, which this case is sure not to show.
    """

    def __init__(
        self, case: TrainingCase, *, mirror_names: bool, foreign_names: Sequence[str]
    ) -> None:
        self._case = case
        self._mirror_names = mirror_names
        self._foreign = [spellings(name)[0] for name in foreign_names]

    def draw(self, rng: np.random.Generator, strength: Strength) -> NamedWindow:
        """A window of a part of the case, which stands for a smaller scan."""
        size = np.array(self._case.image.shape, dtype=float)
        low, high = self._part(size, strength, rng)
        flipped = bool(self._mirror_names and rng.random() < strength.flips[2])
        geometry = self._geometry(low, high, flipped, strength, rng)
        indices = geometry.indices
        inside = torch.ones(WINDOW, dtype=torch.bool)
        places = []
        for axis, (first, beyond) in enumerate(zip(low, high, strict=True)):
            along = indices[axis]
            inside &= (along >= first - 0.5) & (along <= beyond - 0.5)
            if axis > 0:
                place = (along + 0.5 - first) * (2 / (beyond - first)) - 1
                places.append(-place if flipped and axis == 2 else place)
        labels = self._labels(geometry, inside)
        grey = augment.sample_image(self._case.image, geometry)
        grey = augment.inject(grey, self._case, labels, strength.contrast_medium, rng)
        grey = augment.change_grey_values(grey, rng, strength.grey_values) * inside
        names, masks = self._choose(labels, flipped, rng)
        return NamedWindow(grey, torch.stack(places) * inside, names, masks)

    def _part(
        self, size: npt.NDArray[np.float64], strength: Strength, rng: np.random.Generator
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """First voxel and the one after the last of what is shown of the case."""
        extent = size.copy()
        for axis, often in enumerate((0.6, 0.2, 0.2)):
            if rng.random() < often:
                extent[axis] *= rng.uniform(strength.smallest_part, 1.0)
        low = rng.uniform(0, 1, 3) * (size - extent)
        return low, low + extent

    def _geometry(
        self,
        low: npt.NDArray[np.float64],
        high: npt.NDArray[np.float64],
        flipped: bool,
        strength: Strength,
        rng: np.random.Generator,
    ) -> Geometry:
        window = np.array(WINDOW)
        stretch = strength.scale ** (0.6 * rng.uniform(-1, 1) + 0.4 * rng.uniform(-1, 1, 3))
        room = np.maximum(0, (high - low) - CELL * stretch * window) / 2
        centre = (low + high - 1) / 2 + rng.uniform(-1, 1, 3) * room
        shear = rng.uniform(-1, 1, (3, 3)) * strength.shear * (1 - np.eye(3))
        turn = augment.rotation(rng.uniform(-1, 1, 3) * strength.rotation) @ (np.eye(3) + shear)
        step = CELL * stretch * np.where([False, False, flipped], -1.0, 1.0)
        reach = torch.from_numpy(strength.elastic * rng.random() * CELL * window).float()
        elastic = torch.from_numpy(rng.uniform(-1, 1, (3, *_ELASTIC_GRID))).float()
        shown = Overview(
            window=WINDOW,
            centre=centre,
            matrix=turn * step[None, :],
            step=np.full(3, float(CELL)),
            elastic=elastic * reach[:, None, None, None],
            flipped=(False, False, flipped),
        )
        # Between voxels, which at twice their size is the mean of the eight that a cell has.
        return Geometry(shown.zoomed_out().indices, nearest=False)

    def _labels(self, geometry: Geometry, inside: Tensor) -> Tensor:
        if self._case.labels is None:
            return torch.zeros(WINDOW, dtype=torch.int16)
        return augment.sample_labels(self._case.labels, geometry) * inside

    def _choose(
        self,
        labels: Tensor,
        flipped: bool,
        rng: np.random.Generator,
    ) -> tuple[list[str], Tensor]:
        """Names, present and absent, and their masks."""
        present, absent = [], []
        known = self._case.label_values
        for structure, value in known.items():
            name = mirrored(structure, known) if flipped else structure
            if name is None:
                continue
            mask = label_mask(labels, self._case.values_of(value))
            shown = int(mask.sum())
            if shown >= _FEWEST_CELLS:
                present.append((spellings(name)[0], mask))
            elif shown == 0:
                absent.append((spellings(name)[0], mask))
        foreign = [(name, torch.zeros(WINDOW, dtype=torch.bool)) for name in self._foreign]
        pools = ((present, _MOST_PRESENT), (absent, _MOST_ABSENT), (foreign, _MOST_FOREIGN))
        chosen = [
            pool[index] for pool, most in pools for index in rng.permutation(len(pool))[:most]
        ]
        names = [name for name, _ in chosen]
        masks = [mask for _, mask in chosen]
        return names, torch.stack(masks) if masks else torch.zeros(0, *WINDOW, dtype=torch.bool)
