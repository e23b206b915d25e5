"""What the published training changes about its examples, and how often.

From ``train.py`` and ``data_utils.py`` of BAAI-DCAI/SegVol, with MONAI's transforms: half of the
windows are the whole volume, half are crops round a voxel with a label (two of three) or without
(``RandCropByPosNegLabeld``, ``pos=2, neg=1, image_threshold=0``); each axis is turned round with
probability 0.2; with probability 0.1 each, grey values are scaled by 0.9 to 1.1
(``RandScaleIntensityd``) and shifted by -0.1 to 0.1 (``RandShiftIntensityd``), and not clipped.

An example here has both kinds of windows, of the same volume, so the half stands for itself. Where
a flip turns left into right, names are not asked for; the published training goes on calling a
liver on the left a liver.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import Tensor

BoolArray = npt.NDArray[np.bool_]

FLIP = 0.2
"""Probability for each axis."""
_POSITIVE = 2 / 3
_CHANGE = 0.1
_SCALE, _SHIFT = 0.1, 0.1


def change_grey_values(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Scale and shift grey values, each now and then."""
    if rng.random() < _CHANGE:
        image = image * (1 + float(rng.uniform(-_SCALE, _SCALE)))
    if rng.random() < _CHANGE:
        image = image + float(rng.uniform(-_SHIFT, _SHIFT))
    return image


def middle_of_crop(
    labelled: BoolArray, image: BoolArray, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Voxel (z, y, x) round which to crop.

    Parameters
    ----------
    labelled
        (D, H, W), voxels with any label.
    image
        (D, H, W), voxels that are not zero.
    """
    rest = image & ~labelled
    positive = rng.random() < _POSITIVE
    for mask in (labelled, rest) if positive else (rest, labelled):
        voxels = np.flatnonzero(mask)
        if len(voxels):
            chosen = np.unravel_index(voxels[rng.integers(len(voxels))], mask.shape)
            return np.array(chosen, dtype=float)
    return (np.array(image.shape) - 1) / 2
