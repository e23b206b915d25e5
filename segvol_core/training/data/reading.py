"""The files of a case become voxels and labels on one grid."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK

from segvol_core.errors import SegVolError, SegVolWarning
from segvol_core.itk_images import ijk_to_ras_of, quiet_itk
from segvol_core.training.data.m3d_arrays import is_m3d_image, read_m3d_image, read_m3d_masks
from segvol_core.training.data.overlaps import LabelArray, MaskLayers, Structures, smallest_integers
from segvol_core.training.data.records import CaseRecord, TrainingDataError
from segvol_core.volume import CanonicalVolume, Volume
from segvol_core.volume_io import read_volume

Spacing3 = tuple[float, float, float]

_APART = 0.1
"""Voxels that corners of CT and labels may be apart: rounding in headers, not another grid."""


@dataclass(frozen=True, eq=False)
class CaseVolume:
    """A CT and its labels in upright axes.

    Attributes
    ----------
    voxels
        (z, y, x) in RAS+.
    spacing_zyx
        Voxel size in mm; None where the files do not say.
    labels
        (z, y, x) whole numbers, None without annotations.
    structures
        Values in ``labels`` that make up each annotated structure: none if it is not shown, several
        where structures overlap.
    in_hounsfield
        False for values that somebody has normalised.
    orientation
        Where the file's axes i, j, k point to, such as ``"LPS"``; empty where it does not say.
    tilt_degrees
        Largest angle between an axis of the file and the patient's.
    warnings
        What was noticed while reading.
    """

    voxels: npt.NDArray[Any]
    spacing_zyx: Spacing3 | None
    labels: LabelArray | None
    structures: Structures
    in_hounsfield: bool = True
    orientation: str = ""
    tilt_degrees: float = 0.0
    warnings: tuple[str, ...] = ()


def read_case_volume(record: CaseRecord) -> CaseVolume:
    """Read a CT with its labels.

    Raises
    ------
    TrainingDataError
        If a file is missing or cannot be read, labels are no whole numbers, or they do not lie on
        the voxels of the CT (in whatever order of axes). The message names the case.
    """
    try:
        if is_m3d_image(record.image):
            return _read_m3d(record)
        return _read_volumes(record)
    except SegVolError as error:
        raise TrainingDataError(f"{record.name}: {error}") from error


def _read_m3d(record: CaseRecord) -> CaseVolume:
    voxels = read_m3d_image(record.image)
    labels: LabelArray | None = None
    structures: Structures = {}
    if record.labels is not None:
        labels, structures = read_m3d_masks(record.labels, record.label_values)
        if labels.shape != voxels.shape:
            raise TrainingDataError(
                f"the masks are of shape {labels.shape}, the CT of {voxels.shape}."
            )
    return CaseVolume(voxels, None, labels, structures, in_hounsfield=False)


def _read_volumes(record: CaseRecord) -> CaseVolume:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SegVolWarning)
        volume = read_volume(record.image)
    noticed = tuple(str(each.message) for each in caught if each.category is SegVolWarning)
    upright = volume.canonical()
    labels: LabelArray | None = None
    structures: Structures = {}
    if record.masks:
        layers = MaskLayers(upright.shape_zyx)
        if record.labels is not None:
            known = _read_labels(record.labels, upright)
            for name, values in _values_of(record).items():
                layers.add(name, np.isin(known, values))
        for name, path in record.masks.items():
            layers.add(name, _read_labels(path, upright) != 0)
        labels, structures = layers.combined()
    elif record.labels is not None:
        labels = smallest_integers(_read_labels(record.labels, upright))
        structures = _values_of(record)
    z, y, x = upright.spacing_zyx.tolist()
    return CaseVolume(
        upright.voxels,
        (z, y, x),
        labels,
        structures,
        orientation=_orientation(upright),
        tilt_degrees=_tilt(volume),
        warnings=noticed,
    )


def _values_of(record: CaseRecord) -> dict[str, tuple[int, ...]]:
    single: Mapping[str, tuple[int, ...]] = {
        name: (value,) for name, value in record.label_values.items()
    }
    return {**single, **record.united}


def _read_labels(path: Path, ct: CanonicalVolume) -> npt.NDArray[np.integer[Any]]:
    """Labels (z, y, x) of a file on the voxels of a CT."""
    try:
        with quiet_itk():
            image = SimpleITK.ReadImage(str(path))
    except RuntimeError as error:
        raise TrainingDataError(f"{path.name} cannot be read as a label map.") from error
    if image.GetDimension() == 4 and image.GetSize()[3] == 1:
        image = image[:, :, :, 0]
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise TrainingDataError(f"{path.name} is no single three-dimensional label map.")
    labels = Volume(SimpleITK.GetArrayFromImage(image), ijk_to_ras_of(image)).canonical()
    apart = _voxels_apart(labels, ct)
    if apart > _APART:
        raise TrainingDataError(
            f"{path.name} does not lie on the voxels of the CT: "
            + (
                f"its shape is {labels.shape_zyx}, that of the CT {ct.shape_zyx}."
                if labels.shape_zyx != ct.shape_zyx
                else f"corners are {apart:.1f} voxels apart."
            )
        )
    voxels = labels.voxels
    if not np.issubdtype(voxels.dtype, np.integer):
        rounded = np.rint(voxels)
        if not np.array_equal(voxels, rounded):
            raise TrainingDataError(f"{path.name} holds values that are no whole numbers.")
        voxels = rounded.astype(np.int32)
    return voxels


def _voxels_apart(labels: CanonicalVolume, ct: CanonicalVolume) -> float:
    """Largest distance between corners of both grids, in voxels of the CT."""
    if labels.shape_zyx != ct.shape_zyx:
        return float("inf")
    corners = np.array(list(itertools.product(*((0, n - 1) for n in ct.shape_zyx))))
    apart = labels.ras_of_zyx(corners) - ct.ras_of_zyx(corners)
    return float(np.linalg.norm(apart, axis=1).max() / ct.spacing_zyx.min())


def _orientation(upright: CanonicalVolume) -> str:
    letters = {}
    for axis, flipped, ends in zip(upright.axes, upright.flipped, ("SI", "AP", "RL"), strict=True):
        letters[axis] = ends[int(flipped)]
    return letters[2] + letters[1] + letters[0]


def _tilt(volume: Volume) -> float:
    cosines = np.abs(volume.ijk_to_ras[:3, :3] / volume.spacing_ijk).max(axis=0)
    return float(np.degrees(np.arccos(cosines.clip(0, 1))).max())
