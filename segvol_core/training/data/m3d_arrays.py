"""The arrays of the published M3D-Seg layout: a normalised CT and sparse masks, without geometry.

``image.npy`` is (1, x, y, z), the CT as its first file had it, normalised by the mean and deviation
of its foreground. ``mask_(channels, x, y, z).npz`` is a sparse matrix (channels, x · y · z); its
shape stands in its name. Neither says where its axes point: like the published code, we take them
for RAS.
"""

from __future__ import annotations

import ast
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from segvol_core.training.data.overlaps import LabelArray, MaskLayers, Structures
from segvol_core.training.data.records import TrainingDataError

MASK_NAME = re.compile(r"^mask_(\(\d+(?:, ?\d+){3}\))\.npz$")


def is_m3d_image(path: Path) -> bool:
    """Whether a CT is an array of this layout."""
    return path.suffix == ".npy"


def read_m3d_image(path: Path) -> npt.NDArray[Any]:
    """Normalised voxels (z, y, x).

    Raises
    ------
    TrainingDataError
        If the file is no such array.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise TrainingDataError(f"{path.name} cannot be read as an array.") from error
    if array.ndim != 4 or array.shape[0] != 1 or array.dtype.kind not in "fiu":
        raise TrainingDataError(f"{path.name} is no CT of shape (1, x, y, z).")
    if array.min() == array.max() or not np.isfinite(array).all():
        raise TrainingDataError(f"{path.name} is constant, or has values that are no numbers.")
    turned: npt.NDArray[Any] = array[0].transpose(2, 1, 0)
    return turned


def read_m3d_masks(path: Path, channels: Mapping[str, int]) -> tuple[LabelArray, Structures]:
    """Labels (z, y, x) and the values of each structure.

    Parameters
    ----------
    channels
        Number of each structure's mask, counted from 1, as in the folder's JSON file.

    Raises
    ------
    TrainingDataError
        If the file is no such matrix, or a structure has no mask in it.
    """
    name = MASK_NAME.match(path.name)
    if name is None:
        raise TrainingDataError(f"{path.name} is not named mask_(channels, x, y, z).npz.")
    count, *shape = ast.literal_eval(name.group(1))
    try:
        matrix = sparse.load_npz(path).tocsr()
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise TrainingDataError(f"{path.name} cannot be read as a sparse matrix.") from error
    if matrix.shape != (count, int(np.prod(shape))):
        raise TrainingDataError(f"{path.name} holds a matrix of another shape, {matrix.shape}.")
    layers = MaskLayers(shape[::-1])
    for structure, channel in channels.items():
        if not 1 <= channel <= count:
            raise TrainingDataError(
                f"{path.name} has {count} masks, and “{structure}” is said to be number {channel}."
            )
        mask = matrix[channel - 1].toarray().reshape(shape) != 0
        layers.add(structure, mask.transpose(2, 1, 0))
    return layers.combined()
