"""Where the patient is in a CT, so that pictures do not show much air."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from segvol_core.evaluation.metrics import bounding_box
from segvol_core.volume import CanonicalVolume

_DENSER_THAN_FAT_HU = -200
_STEP_MM = 4.0
_MARGIN_MM = 8.0


def body_box(upright: CanonicalVolume) -> NDArray[np.float64]:
    """Where the body begins and ends, in millimetres (z, y, x) from the first voxel's corner.

    The body is the largest piece of what is not air; a table is another piece. The box has a
    margin and lies inside the volume; it is the whole volume if there is nothing but air.

    Returns
    -------
    Shape (2, 3).
    """
    steps = np.maximum(1, np.rint(_STEP_MM / upright.spacing_zyx)).astype(int)
    dense = upright.voxels[tuple(slice(None, None, step) for step in steps)] > _DENSER_THAN_FAT_HU
    size = np.array(upright.shape_zyx) * upright.spacing_zyx
    pieces, count = ndimage.label(dense)
    if count == 0:
        return np.stack([np.zeros(3), size])
    largest = int(np.argmax(np.bincount(pieces.ravel())[1:])) + 1
    low, high = bounding_box(pieces == largest)
    step_mm = steps * upright.spacing_zyx
    first, last = low * step_mm - _MARGIN_MM, (high + 1) * step_mm + _MARGIN_MM
    return np.stack([np.maximum(first, 0), np.minimum(last, size)])
