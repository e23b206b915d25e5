"""A CT volume and where its voxels lie in the patient, and the same voxels in upright axes.

Coordinates are RAS millimetres (x towards the patient's right, y anterior, z superior). The array
of a volume is indexed (k, j, i), k slowest, as files store it; a canonical array (z, y, x). Only
numpy is needed, so that Slicer's own Python can import this module.
"""

import itertools
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segvol_core.errors import SegVolWarning, VolumeError

FloatArray = NDArray[np.float64]

HU_OF_AIR = -1024
"""What a voxel without a number is given: the lowest value of a 12-bit CT."""

_NOT_CT = "SegVol was trained on CT in Hounsfield units, so the result may be wrong."


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxels with their place in the patient.

    Parameters
    ----------
    voxels
        Numbers, shape (k, j, i). Kept as a read-only view, not copied.
    ijk_to_ras
        4 x 4 matrix from voxel indices (i, j, k, 1) to RAS millimetres. Any orientation: oblique,
        left-handed and sheared axes are fine.

    Raises
    ------
    VolumeError
        If the array is not three-dimensional, not numeric or empty, or if the matrix is not an
        invertible affine one.
    """

    voxels: NDArray[Any]
    ijk_to_ras: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "voxels", _read_only(_valid_voxels(self.voxels)))
        object.__setattr__(self, "ijk_to_ras", _read_only(_valid_affine(self.ijk_to_ras)))

    @property
    def shape_kji(self) -> tuple[int, int, int]:
        """Number of voxels along k, j and i."""
        k, j, i = self.voxels.shape
        return k, j, i

    @property
    def ras_to_ijk(self) -> FloatArray:
        """4 x 4 matrix from RAS millimetres to continuous voxel indices (i, j, k)."""
        return _inverse(self.ijk_to_ras)

    @property
    def spacing_ijk(self) -> FloatArray:
        """Distance in millimetres between neighbouring voxels along i, j and k, shape (3,)."""
        return _column_lengths(self.ijk_to_ras)

    @property
    def voxel_ml(self) -> float:
        """Size of a voxel in millilitres."""
        return abs(float(np.linalg.det(self.ijk_to_ras[:3, :3]))) / 1000

    def ijk_of_ras(self, points_ras: ArrayLike) -> FloatArray:
        """Continuous voxel indices, (N, 3) as (i, j, k), of points in RAS millimetres, (N, 3)."""
        return _transformed(self.ras_to_ijk, points_ras)

    def ras_of_ijk(self, points_ijk: ArrayLike) -> FloatArray:
        """RAS millimetres, (N, 3), of voxel indices (i, j, k), (N, 3)."""
        return _transformed(self.ijk_to_ras, points_ijk)

    def canonical(self) -> "CanonicalVolume":
        """Return the same voxels with their axes permuted and flipped to the nearest RAS axes.

        Nothing is resampled and nothing copied: an oblique volume stays oblique by what is left of
        its rotation.
        """
        cosines = self.ijk_to_ras[:3, :3] / self.spacing_ijk
        ijk_axis_of_ras = _nearest_axes(cosines)
        ijk_axes = ijk_axis_of_ras[::-1]
        flipped = tuple(bool(cosines[2 - c, axis] < 0) for c, axis in enumerate(ijk_axes))
        axes = tuple(2 - axis for axis in ijk_axes)

        zyx_to_ras = np.eye(4)
        zyx_to_ras[:3, 3] = self.ijk_to_ras[:3, 3]
        for c, axis in enumerate(ijk_axes):
            step = self.ijk_to_ras[:3, axis]
            zyx_to_ras[:3, c] = -step if flipped[c] else step
            if flipped[c]:
                zyx_to_ras[:3, 3] += step * (self.voxels.shape[axes[c]] - 1)
        voxels = self.voxels.transpose(axes)[_flips(flipped)]
        return CanonicalVolume(voxels, zyx_to_ras, axes, flipped)


@dataclass(frozen=True, eq=False)
class CanonicalVolume:
    """A volume in the nearest RAS axes: z towards S, y towards A, x towards R.

    Made by `Volume.canonical`.

    Parameters
    ----------
    voxels
        View of the volume's voxels, shape (z, y, x).
    zyx_to_ras
        4 x 4 matrix from voxel indices (z, y, x, 1) to RAS millimetres.
    axes
        For z, y and x, the axis of the (k, j, i) array that it comes from.
    flipped
        For z, y and x, whether that axis runs the other way.
    """

    voxels: NDArray[Any]
    zyx_to_ras: FloatArray
    axes: tuple[int, ...]
    flipped: tuple[bool, ...]

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        """Number of voxels along z, y and x."""
        z, y, x = self.voxels.shape
        return z, y, x

    @property
    def spacing_zyx(self) -> FloatArray:
        """Distance in millimetres between neighbouring voxels along z, y and x, shape (3,)."""
        return _column_lengths(self.zyx_to_ras)

    def zyx_of_ras(self, points_ras: ArrayLike) -> FloatArray:
        """Continuous voxel indices, (N, 3) as (z, y, x), of points in RAS millimetres, (N, 3)."""
        return _transformed(_inverse(self.zyx_to_ras), points_ras)

    def ras_of_zyx(self, points_zyx: ArrayLike) -> FloatArray:
        """RAS millimetres, (N, 3), of voxel indices (z, y, x), (N, 3)."""
        return _transformed(self.zyx_to_ras, points_zyx)

    def adopt(self, mask_kji: NDArray[Any]) -> NDArray[Any]:
        """View of a (k, j, i) array of the volume in these axes.

        Raises
        ------
        VolumeError
            If the array has another shape than the volume.
        """
        turned = mask_kji.transpose(self.axes) if mask_kji.ndim == 3 else mask_kji
        if turned.shape != self.voxels.shape:
            raise VolumeError(
                f"An array of shape {mask_kji.shape} does not fit a volume whose voxels (z, y, x) "
                f"are {self.voxels.shape}."
            )
        return turned[_flips(self.flipped)]

    def restore(self, mask_zyx: NDArray[Any]) -> NDArray[Any]:
        """View of a (z, y, x) array in the (k, j, i) axes of the volume: the way back.

        Raises
        ------
        VolumeError
            If the array has another shape than this volume.
        """
        if mask_zyx.shape != self.voxels.shape:
            raise VolumeError(
                f"An array of shape {mask_zyx.shape} does not fit a volume of {self.voxels.shape}."
            )
        return mask_zyx[_flips(self.flipped)].transpose(np.argsort(self.axes))


def checked_volume(voxels: NDArray[Any], ijk_to_ras: ArrayLike) -> Volume:
    """Make a volume that can be segmented from what a scanner, a file or a client delivered.

    Voxels without a number become air, and values that cannot be Hounsfield units are pointed out;
    both with a `SegVolWarning`.

    Raises
    ------
    VolumeError
        As `Volume`; also for a single slice, and for voxels that are all the same or no numbers.
    """
    volume = Volume(voxels, np.asarray(ijk_to_ras))
    if min(volume.shape_kji) == 1:
        raise VolumeError("This is a single slice; SegVol segments volumes of several slices.")
    cleaned, replaced = replace_non_finite(volume.voxels)
    if replaced:
        message = f"{replaced} voxels hold no number (NaN or infinite); they are taken as air."
        warnings.warn(message, SegVolWarning, stacklevel=2)
    for message in check_hounsfield(cleaned):
        warnings.warn(message, SegVolWarning, stacklevel=2)
    return Volume(cleaned, volume.ijk_to_ras)


def replace_non_finite(voxels: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """Set NaN and infinite voxels to air (-1024 HU), in a copy if there are any.

    Returns
    -------
    The voxels, and how many were replaced.

    Raises
    ------
    VolumeError
        If no voxel is finite.
    """
    finite = np.isfinite(voxels)
    replaced = voxels.size - int(np.count_nonzero(finite))
    if replaced == 0:
        return voxels, 0
    if replaced == voxels.size:
        raise VolumeError("No voxel of the volume holds a number (all are NaN or infinite).")
    return np.where(finite, voxels, voxels.dtype.type(HU_OF_AIR)), replaced


def check_hounsfield(voxels: NDArray[Any]) -> list[str]:
    """Sentences for the user on values that can hardly be Hounsfield units; none for a usual CT.

    Water is 0 HU, air -1000, fat -100, cortical bone over 1000; so a CT of a patient spans several
    hundred HU on both sides of 0. MR, PET, 8-bit pictures and CT stored without its rescale
    intercept do not.

    Parameters
    ----------
    voxels
        Finite numbers of any shape.

    Raises
    ------
    VolumeError
        If all voxels are the same, since there is nothing to segment then.
    """
    lowest, highest = float(voxels.min()), float(voxels.max())
    values = f"The values run from {lowest:g} to {highest:g}"
    if lowest == highest:
        raise VolumeError(f"All voxels have the same value ({lowest:g}): nothing to segment.")
    if lowest < np.iinfo(np.int16).min or highest > np.iinfo(np.int16).max:
        return [f"{values}, far beyond Hounsfield units. {_NOT_CT}"]
    if lowest >= 0 and highest <= np.iinfo(np.uint8).max:
        return [f"{values}, like a picture or a label map and not like a CT. {_NOT_CT}"]
    if lowest >= 0:
        return [f"{values}, none negative, as in MR or CT stored without its offset. {_NOT_CT}"]
    if highest < 0:
        return [f"{values}: nothing is as dense as water. {_NOT_CT}"]
    if lowest > -200 and highest < 300:
        return [f"{values}: neither air nor bone, which is unusual for a CT. {_NOT_CT}"]
    return []


def _valid_voxels(voxels: NDArray[Any]) -> NDArray[Any]:
    array = np.asarray(voxels)
    if array.ndim != 3:
        raise VolumeError(f"A volume has three dimensions, this array has {array.ndim}.")
    if array.size == 0:
        raise VolumeError(f"The volume is empty: its shape is {array.shape}.")
    if not np.issubdtype(array.dtype, np.integer) and not np.issubdtype(array.dtype, np.floating):
        raise VolumeError(f"The voxels must be real numbers, not {array.dtype}.")
    return array


def _valid_affine(matrix: ArrayLike) -> FloatArray:
    affine = np.array(matrix, dtype=np.float64)
    if affine.shape != (4, 4) or not np.isfinite(affine).all():
        raise VolumeError("The position of the volume must be a 4 x 4 matrix of finite numbers.")
    if not np.array_equal(affine[3], (0, 0, 0, 1)):
        raise VolumeError("The last row of the volume's matrix must be 0 0 0 1.")
    spacing = _column_lengths(affine)
    # 1e-6 is far below the shear of any real scan, so that only axes within one plane are refused.
    if not spacing.all() or abs(np.linalg.det(affine[:3, :3] / spacing)) < 1e-6:
        raise VolumeError("The volume's axes do not span space: its matrix cannot be inverted.")
    return affine


def _nearest_axes(cosines: FloatArray) -> tuple[int, ...]:
    """For R, A and S the index axis nearest to it, each axis used once; `cosines` is (RAS, ijk)."""
    alignment = np.abs(cosines)
    return max(
        itertools.permutations(range(3)),
        key=lambda order: sum(alignment[ras, axis] for ras, axis in enumerate(order)),
    )


def _flips(flipped: tuple[bool, ...]) -> tuple[slice, ...]:
    return tuple(slice(None, None, -1 if flip else 1) for flip in flipped)


def _column_lengths(affine: FloatArray) -> FloatArray:
    return np.asarray(np.linalg.norm(affine[:3, :3], axis=0), dtype=np.float64)


def _inverse(affine: FloatArray) -> FloatArray:
    return np.asarray(np.linalg.inv(affine), dtype=np.float64)


def _transformed(affine: FloatArray, points: ArrayLike) -> FloatArray:
    moved = np.asarray(points, dtype=np.float64) @ affine[:3, :3].T + affine[:3, 3]
    return np.asarray(moved, dtype=np.float64)


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    view = array.view()
    view.flags.writeable = False
    return view
