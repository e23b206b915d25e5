"""Reading a DICOM series from its folder, with the geometry that its slices state."""

import warnings
from pathlib import Path

import numpy as np
import SimpleITK

from segvol_core.errors import SegVolWarning, VolumeError
from segvol_core.itk_images import LPS_TO_RAS, ijk_to_ras_of, quiet_itk
from segvol_core.volume import FloatArray

IMAGE_POSITION = "0020|0032"
IMAGE_ORIENTATION = "0020|0037"

_SAME_DIRECTION = 1e-3
"""Largest difference of two unit vectors that count as one: 0.3 mm over a body's width."""


def dicom_series(folder: Path) -> dict[str, int]:
    """Series Instance UIDs of the DICOM images directly in a folder, and their number of files."""
    with quiet_itk():
        uids = SimpleITK.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
        return {
            uid: len(SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), uid))
            for uid in uids
        }


def series_files(folder: Path, series: str | None = None) -> list[str]:
    """Files of one series of a folder, in the order of their slices.

    Parameters
    ----------
    series
        A Series Instance UID. Without one, the series with most files is taken, with a
        `SegVolWarning` if there are others.

    Raises
    ------
    VolumeError
        If the folder has no DICOM images or not that series.
    """
    counts = dicom_series(folder)
    if not counts:
        raise VolumeError(
            f"The folder {folder.name} holds no DICOM images. If they are in folders below it, "
            "give the folder of one series."
        )
    if series is not None and series not in counts:
        found = ", ".join(f"{uid} ({count} files)" for uid, count in counts.items())
        raise VolumeError(f"The folder {folder.name} has no DICOM series {series}; it has {found}.")
    if series is None:
        series = max(counts, key=lambda uid: counts[uid])
        if len(counts) > 1:
            sizes = ", ".join(str(count) for count in counts.values())
            warnings.warn(
                f"The folder {folder.name} holds {len(counts)} DICOM series of {sizes} files; the "
                "largest is read. Give a Series Instance UID to read another one.",
                SegVolWarning,
                stacklevel=2,
            )
    return list(SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), series))


def read_slices(files: list[str]) -> tuple[SimpleITK.Image, FloatArray]:
    """Stack DICOM files of one slice each, in the order given.

    Returns
    -------
    The image, and its 4 x 4 matrix from (i, j, k) to RAS millimetres. Slices of a tilted gantry
    keep their places, so that the matrix is sheared; ITK's own geometry would move them.

    Raises
    ------
    VolumeError
        If the slices differ in size or orientation, or several lie at the same place.
    """
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(files)
    reader.MetaDataDictionaryArrayUpdateOn()
    try:
        with quiet_itk():
            image = reader.Execute()
    except RuntimeError as error:
        raise VolumeError(
            "The DICOM series cannot be read: its images differ in size, or one is damaged."
        ) from error

    slices = range(len(files))
    keys = (IMAGE_POSITION, IMAGE_ORIENTATION)
    if not all(reader.HasMetaDataKey(n, key) for n in slices for key in keys):
        _warn("The DICOM images do not state where they lie: positions and spacing may be wrong.")
        return image, ijk_to_ras_of(image)
    positions = np.array([_numbers(reader.GetMetaData(n, IMAGE_POSITION), 3) for n in slices])
    cosines = np.array([_numbers(reader.GetMetaData(n, IMAGE_ORIENTATION), 6) for n in slices])
    return image, _series_to_ras(positions, cosines, np.asarray(image.GetSpacing()))


def _series_to_ras(
    positions_lps: FloatArray, cosines: FloatArray, spacing_ijk: FloatArray
) -> FloatArray:
    """4 x 4 matrix to RAS of slices with these positions, (N, 3), and orientations, (N, 6)."""
    if np.abs(cosines - cosines[0]).max() > _SAME_DIRECTION:
        raise VolumeError("The images of the DICOM series lie in different directions.")
    along_i = cosines[0, :3] / np.linalg.norm(cosines[0, :3])
    along_j = cosines[0, 3:] / np.linalg.norm(cosines[0, 3:])
    normal = np.cross(along_i, along_j)

    gaps = np.diff(positions_lps @ normal)
    # Slices are never cut thinner than a tenth of this.
    if np.abs(gaps).min() < 0.01:
        raise VolumeError(
            "The DICOM series has several images at the same place (phases or time points). "
            "SegVol reads one volume: export one phase as a series of its own."
        )
    # A hundredth of a slice, or of a millimetre, is the rounding of positions in real files.
    if np.abs(gaps - gaps.mean()).max() > max(0.01, 0.01 * abs(gaps.mean())):
        _warn(
            f"The DICOM slices are unevenly spaced ({np.abs(gaps).min():.2f} to "
            f"{np.abs(gaps).max():.2f} mm): slices may be missing, and positions between the first "
            "and the last slice are off."
        )
    step = (positions_lps[-1] - positions_lps[0]) / len(gaps)
    if np.linalg.norm(np.cross(step / np.linalg.norm(step), normal)) > _SAME_DIRECTION:
        _warn(
            "The DICOM slices are tilted against their row (gantry tilt). Positions are exact, but "
            "the volume is sheared, and the model sees it so."
        )
    ijk_to_lps = np.eye(4)
    ijk_to_lps[:3, 0] = along_i * spacing_ijk[0]
    ijk_to_lps[:3, 1] = along_j * spacing_ijk[1]
    ijk_to_lps[:3, 2] = step
    ijk_to_lps[:3, 3] = positions_lps[0]
    return LPS_TO_RAS @ ijk_to_lps


def _numbers(value: str, count: int) -> list[float]:
    try:
        numbers = [float(part) for part in value.split("\\")]
    except ValueError:
        numbers = []
    if len(numbers) != count:
        raise VolumeError("The position or orientation of a DICOM image is damaged.")
    return numbers


def _warn(message: str) -> None:
    warnings.warn(message, SegVolWarning, stacklevel=3)
