"""The connected parts of a mask, largest first."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segvol_core.wire import crop_mask


def largest_island(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Keep the largest part of a mask (k, j, i) whose voxels touch by a face.

    Of parts of one size the one that comes first in the array.
    """
    cropped = crop_mask(mask)
    if not cropped.voxels.size:
        return mask
    return replace(cropped, voxels=islands(cropped.voxels) == 1).whole()


def islands(mask: NDArray[np.bool_]) -> NDArray[np.integer[Any]]:
    """Number the parts of a mask (k, j, i) whose voxels touch by a face: 1 is the largest."""
    import SimpleITK  # noqa: PLC0415 - a server begins sooner without it

    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(mask).view(np.uint8))
    parts = SimpleITK.RelabelComponent(SimpleITK.ConnectedComponent(image), sortByObjectSize=True)
    numbers: NDArray[np.integer[Any]] = SimpleITK.GetArrayFromImage(parts)
    return numbers
