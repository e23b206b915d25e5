"""The files of a case become voxels and labels on one grid."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from segvol_core.errors import SegVolError, SegVolWarning
from segvol_core.model.config import SegVolConfig
from segvol_core.training.data.label_files import read_labels
from segvol_core.training.data.m3d_arrays import is_m3d_image, read_m3d_image, read_m3d_masks
from segvol_core.training.data.overlaps import LabelArray, MaskLayers, Structures, smallest_integers
from segvol_core.training.data.records import CaseRecord, TrainingDataError
from segvol_core.volume import CanonicalVolume, Volume
from segvol_core.volume_io import read_volume

Spacing3 = tuple[float, float, float]


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
    labels, structures = read_structures(record, upright)
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


def read_structures(
    record: CaseRecord, ct: CanonicalVolume
) -> tuple[LabelArray | None, Structures]:
    """Labels (z, y, x) on the voxels of a CT, and the values in them of each structure.

    Raises
    ------
    SegVolError
        If a file cannot be read, or does not fit the CT. The message does not name the case.
    """
    if record.masks:
        layers = MaskLayers(ct.shape_zyx)
        if record.labels is not None:
            known = read_labels(record.labels, ct)
            for name, values in record.values.items():
                layers.add(name, np.isin(known, values))
        for name, path in record.masks.items():
            layers.add(name, read_labels(path, ct) != 0)
        return layers.combined()
    if record.labels is None:
        return None, {}
    return smallest_integers(read_labels(record.labels, ct)), record.values


def check_network_reads(
    case: str, config: SegVolConfig, *, millimetres: bool, hounsfield: bool
) -> None:
    """Make sure that a network can do with what the files of a case say.

    Parameters
    ----------
    case
        Its name, for the message.
    millimetres, hounsfield
        Whether the files say how large a voxel is, and hold Hounsfield units.

    Raises
    ------
    TrainingDataError
        If the network needs what they do not say.
    """
    if not millimetres and config.spacing_mm is not None:
        raise TrainingDataError(
            f"{case}: its files do not say how large a voxel is, and this network works at "
            f"{config.spacing_mm[0]:g} mm. Take one that works on any voxels, such as segvol."
        )
    if not hounsfield and config.hounsfield_levels is not None:
        raise TrainingDataError(
            f"{case}: its values are normalised, and this network reads Hounsfield units. Take "
            "one that normalises for itself, such as segvol."
        )


def _orientation(upright: CanonicalVolume) -> str:
    letters = {}
    for axis, flipped, ends in zip(upright.axes, upright.flipped, ("SI", "AP", "RL"), strict=True):
        letters[axis] = ends[int(flipped)]
    return letters[2] + letters[1] + letters[0]


def _tilt(volume: Volume) -> float:
    cosines = np.abs(volume.ijk_to_ras[:3, :3] / volume.spacing_ijk).max(axis=0)
    return float(np.degrees(np.arccos(cosines.clip(0, 1))).max())
