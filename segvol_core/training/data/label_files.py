"""Files with labels, and their voxels put on those of a CT, without resampling."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK

from segvol_core.itk_images import ijk_to_ras_of, quiet_itk
from segvol_core.nifti_checks import is_nifti, non_finite_voxels
from segvol_core.training.data.records import TrainingDataError
from segvol_core.volume import CanonicalVolume, Volume

_APART = 0.1
"""Voxels that corners of CT and labels may be apart: rounding in headers, not another grid."""


def read_labels(path: Path, ct: CanonicalVolume) -> npt.NDArray[np.integer[Any]]:
    """Labels (z, y, x) of a file on the voxels of a CT, in whatever order of axes they are kept.

    Raises
    ------
    SegVolError
        If the file cannot be read, is no single label map, or does not fit the CT.
    """
    image = read_label_image(path)
    if image.GetDimension() == 4 and image.GetSize()[3] == 1:
        image = image[:, :, :, 0]
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise TrainingDataError(f"{path.name} is no single three-dimensional label map.")
    labels = Volume(SimpleITK.GetArrayFromImage(image), ijk_to_ras_of(image))
    return labels_on_voxels(labels, ct, path.name)


def read_label_image(path: Path) -> SimpleITK.Image:
    """Whatever image a file holds.

    Raises
    ------
    SegVolError
        If it cannot be read, is truncated, or has voxels without a number.
    """
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        with quiet_itk():
            reader.ReadImageInformation()
            missing = non_finite_voxels(path, reader) if is_nifti(path) else None
            image: SimpleITK.Image = reader.Execute()
    except (OSError, RuntimeError) as error:
        raise TrainingDataError(f"{path.name} cannot be read as a label map.") from error
    if missing is not None:
        raise TrainingDataError(f"{path.name} has voxels that hold no number.")
    return image


def labels_on_voxels(
    labels: Volume, ct: CanonicalVolume, file: str
) -> npt.NDArray[np.integer[Any]]:
    """Labels (z, y, x) as whole numbers, whatever type their file keeps them in.

    Parameters
    ----------
    file
        Name of the file, for the message.

    Raises
    ------
    TrainingDataError
        If they do not lie on the voxels of the CT, or one of them is no whole number.
    """
    upright = labels.canonical()
    apart = _voxels_apart(upright, ct)
    if apart > _APART:
        raise TrainingDataError(
            f"{file} does not lie on the voxels of the CT: "
            + (
                f"its shape is {upright.shape_zyx}, that of the CT {ct.shape_zyx}."
                if upright.shape_zyx != ct.shape_zyx
                else f"corners are {apart:.1f} voxels apart."
            )
        )
    voxels = upright.voxels
    if np.issubdtype(voxels.dtype, np.integer):
        return voxels
    rounded = np.rint(voxels)
    if not np.array_equal(voxels, rounded):
        raise TrainingDataError(f"{file} holds values that are no whole numbers.")
    return np.asarray(rounded, dtype=np.int32)


def _voxels_apart(labels: CanonicalVolume, ct: CanonicalVolume) -> float:
    """Largest distance between corners of both grids, in voxels of the CT."""
    if labels.shape_zyx != ct.shape_zyx:
        return float("inf")
    corners = np.array(list(itertools.product(*((0, n - 1) for n in ct.shape_zyx))))
    apart = labels.ras_of_zyx(corners) - ct.ras_of_zyx(corners)
    return float(np.linalg.norm(apart, axis=1).max() / ct.spacing_zyx.min())
