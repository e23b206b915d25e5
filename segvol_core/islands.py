"""The largest connected part of a mask."""

from dataclasses import replace

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
    import SimpleITK  # noqa: PLC0415 - a server begins sooner without it

    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(cropped.voxels).view(np.uint8))
    parts = SimpleITK.RelabelComponent(SimpleITK.ConnectedComponent(image), sortByObjectSize=True)
    largest = SimpleITK.GetArrayViewFromImage(parts) == 1
    return replace(cropped, voxels=largest).whole()
