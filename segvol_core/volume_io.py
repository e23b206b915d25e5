"""Reading a CT: NIfTI, NRRD, MHA/MHD, a DICOM series folder or a DICOM file of many frames."""

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from segvol_core.dicom_io import read_slices, series_files
from segvol_core.errors import SegVolWarning, VolumeError
from segvol_core.itk_images import ijk_to_ras_of, quiet_itk
from segvol_core.nifti_checks import is_nifti, non_finite_voxels, orientation_warnings
from segvol_core.volume import FloatArray, Volume, checked_volume

READABLE = "NIfTI (.nii, .nii.gz), NRRD (.nrrd, .nhdr), MHA/MHD and DICOM"

_DICOM_STUDY_UID = "0020|000d"


def read_volume(path: str | os.PathLike[str], series: str | None = None) -> Volume:
    """Read a CT from a file or from a folder of DICOM images.

    What can be read but may mislead is said in a `SegVolWarning`: values that are no Hounsfield
    units, voxels without a number, uneven or tilted slices, an orientation that is missing or
    stated twice.

    Parameters
    ----------
    path
        A file, or a folder with the images of a DICOM series directly in it.
    series
        In a folder with several DICOM series, the Series Instance UID of the one to read; else the
        largest is read.

    Returns
    -------
    The voxels (k, j, i) in the type that the file holds after its rescaling, and their place.

    Raises
    ------
    VolumeError
        If there is no such file, or it is no image, truncated, a single slice, a colour image, a
        series in time, constant, or in a geometry that cannot be read.
    """
    path = Path(path)
    if not path.exists():
        raise VolumeError(f"There is no file or folder {path}.")
    if path.is_dir():
        files = series_files(path, series)
        if len(files) > 1:
            image, ijk_to_ras = read_slices(files)
            _check_kind(image.GetSize(), image.GetNumberOfComponentsPerPixel(), image.GetPixelID())
            return checked_volume(SimpleITK.GetArrayFromImage(image), ijk_to_ras)
        path = Path(files[0])
    elif series is not None:
        raise VolumeError(f"{path.name} is a file; a DICOM series is chosen in a folder.")
    voxels, ijk_to_ras = _read_file(path)
    return checked_volume(voxels, ijk_to_ras)


def _read_file(path: Path) -> tuple[NDArray[Any], FloatArray]:
    """Voxels (k, j, i) of a file, and their 4 x 4 matrix to RAS millimetres."""
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    missing = None
    try:
        with quiet_itk():
            reader.ReadImageInformation()
            _check_kind(
                reader.GetSize(),
                reader.GetNumberOfComponents(),
                reader.GetPixelID(),
                is_dicom=reader.HasMetaDataKey(_DICOM_STUDY_UID),
            )
            nifti = is_nifti(path)
            if nifti:
                missing = non_finite_voxels(path, reader)
            image = reader.Execute()
    except (OSError, RuntimeError) as error:
        raise VolumeError(_reason(path, str(error))) from error
    if nifti:
        for message in orientation_warnings(image):
            warnings.warn(message, SegVolWarning, stacklevel=3)
    if image.GetDimension() == 4:
        image = image[:, :, :, 0]
    voxels = SimpleITK.GetArrayFromImage(image)
    if missing is not None:
        voxels[missing] = np.nan
    return voxels, ijk_to_ras_of(image)


def _reason(path: Path, itk_message: str) -> str:
    """Sentence for the user in place of ITK's message."""
    if "Unable to determine ImageIO" in itk_message:
        return f"{path.name} is no image that SegVol can read, or damaged. It reads {READABLE}."
    if "orthonormal" in itk_message:
        return (
            f"The axes of {path.name} are not at right angles (a sheared NIfTI sform), which "
            "cannot be read. Save it as NRRD, or resample it to upright axes."
        )
    if "allocate" in itk_message:
        return f"{path.name} is too large for the memory of this computer."
    return f"{path.name} cannot be read: it is damaged, or part of it is missing."


def _check_kind(
    size: tuple[int, ...], components: int, pixel_id: int, *, is_dicom: bool = False
) -> None:
    """Refuse what is not one grey volume; `size` is that of the image's axes, i first."""
    if len(size) == 4 and size[3] != 1:
        raise VolumeError(
            f"This is a series of {size[3]} volumes (4-D). SegVol reads one: save one of them "
            "as a file of its own."
        )
    if len(size) == 2 or 1 in size[:3]:
        advice = "SegVol segments volumes of several slices."
        if is_dicom:
            advice = "To read a DICOM series, give the folder with all its slices."
        raise VolumeError(f"This is a single slice. {advice}")
    if len(size) not in (3, 4):
        raise VolumeError(f"A volume has three dimensions, this image has {len(size)}.")
    if pixel_id in (SimpleITK.sitkComplexFloat32, SimpleITK.sitkComplexFloat64):
        raise VolumeError("This image holds complex numbers: not a CT.")
    if components > 1:
        raise VolumeError("This image has several values per voxel (colours, vectors): not a CT.")
