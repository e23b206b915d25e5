"""Contrast medium: labelled organs become as bright as they are some time after an injection.

Most CTs with labels of many structures were scanned without it, and most CTs of patients are not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_ADDED = {
    "aorta": (270, 110),
    "iliac_artery": (250, 110),
    "heart": (180, 100),
    "superior_vena_cava": (150, 110),
    "inferior_vena_cava": (40, 110),
    "iliac_vena": (20, 90),
    "portal_vein": (40, 130),
    "kidney": (120, 150),
    "spleen": (80, 80),
    "liver": (15, 65),
    "pancreas": (70, 50),
    "adrenal_gland": (50, 45),
    "stomach": (10, 15),
    "duodenum": (30, 40),
    "small_bowel": (30, 40),
    "colon": (10, 20),
    "prostate": (20, 40),
    "esophagus": (10, 25),
    "parotid": (20, 40),
    "tumour": (15, 35),
    "sarcoma": (15, 35),
    "autochthon": (5, 15),
    "gluteus": (5, 15),
    "iliopsoas": (5, 15),
    "brain": (3, 6),
}
"""Hounsfield units that are added in the arterial and in the portal venous phase: round figures of
what abdominal and thoracic protocols give, by how a structure's name begins or ends."""
_DOSE, _UNLIKE = (0.5, 1.2), 0.2
"""Of all, and the standard deviation of what each structure's own factor is apart."""
_SWALLOWED = ("stomach", "duodenum", "small_bowel", "colon")
_EXCRETED = ("urinary_bladder",)
_SWALLOWED_OFTEN, _EXCRETED_OFTEN = 0.2, 0.15
_ADDED_IN_A_LUMEN = (50.0, 250.0)
_TAKEN_AWAY_OFTEN, _PLAIN_TISSUE = 0.3, 20.0
"""What is bright already is shown without the medium, at that many HU at least."""


@dataclass(frozen=True)
class ContrastMedium:
    """How often, and what the grey values of an image mean.

    Attributes
    ----------
    share
        Of images.
    levels
        Hounsfield units and their grey values, as ``SegVolConfig.hounsfield_levels``.
    """

    share: float
    levels: Sequence[tuple[float, float]]

    def inject(
        self,
        image: Tensor,
        labels: Tensor,
        values: Mapping[str, tuple[int, ...]],
        rng: np.random.Generator,
    ) -> Tensor:
        """The same window (D, H, W) some time after an injection, or before one.

        Parameters
        ----------
        image
            Grey values in [0, 1].
        labels
            On the same voxels.
        values
            Of each structure in ``labels``.
        """
        added = torch.zeros_like(image)
        for structure, amount in _amounts(list(values), rng).items():
            for value in values[structure]:
                added.masked_fill_(labels == value, amount)
        if not added.any():
            return image
        # Borders are as soft as those of the image.
        added = F.avg_pool3d(added[None, None], 3, stride=1, padding=1)[0, 0]
        hounsfield, grey = np.array(self.levels, dtype=np.float64).T
        before = np.interp(image.numpy(), grey, hounsfield)
        after = before + added.numpy()
        after = np.where(
            after < before, np.maximum(after, np.minimum(before, _PLAIN_TISSUE)), after
        )
        changed = np.interp(after, hounsfield, grey).astype(np.float32)
        return torch.where(added != 0, torch.from_numpy(changed), image)


def _amounts(structures: Sequence[str], rng: np.random.Generator) -> dict[str, float]:
    """Hounsfield units added to each structure."""
    phase, dose = rng.random(), rng.uniform(*_DOSE)
    if rng.random() < _TAKEN_AWAY_OFTEN:
        dose = -dose
    amounts = {}
    for structure in structures:
        arterial, venous = _typical(structure)
        own = np.exp(rng.normal(0, _UNLIKE))
        amounts[structure] = float(dose * own * (arterial + phase * (venous - arterial)))
    for lumens, often in ((_SWALLOWED, _SWALLOWED_OFTEN), (_EXCRETED, _EXCRETED_OFTEN)):
        if rng.random() < often:
            amounts |= {
                name: float(rng.uniform(*_ADDED_IN_A_LUMEN)) for name in lumens if name in amounts
            }
    return amounts


def _typical(structure: str) -> tuple[float, float]:
    name = structure.lower()
    found = [
        added for part, added in _ADDED.items() if name.startswith(part) or name.endswith(part)
    ]
    return found[0] if found else (0.0, 0.0)
