"""Mask files of any program: label maps, and Slicer's segmentations with names of their own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from segvol_core.errors import SegVolError
from segvol_core.evaluation.cases import LabelledCase
from segvol_core.evaluation.label_maps import EvaluationError
from segvol_core.evaluation.metrics import Mask
from segvol_core.evaluation.structures import same_structure
from segvol_core.itk_images import ijk_to_ras_of
from segvol_core.training.data.label_files import labels_on_voxels, read_label_image
from segvol_core.training.data.records import TrainingDataError
from segvol_core.volume import Volume

SUFFIXES = (".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".mha", ".mhd")
"""What can be read; the first one that a file name ends in counts."""

_SEGMENT_NAME = re.compile(r"(Segment\d+)_Name")


@dataclass(frozen=True, eq=False)
class MaskFile:
    """The masks of a file.

    Attributes
    ----------
    layers
        (layer, k, j, i) whole numbers on the voxels of the CT. Only Slicer's segmentations have
        more than one layer.
    places
        Layer and values of each structure.
    """

    layers: NDArray[Any]
    places: Mapping[str, tuple[int, tuple[int, ...]]]

    def anything(self) -> Mask:
        """Voxels (k, j, i) of whatever there is."""
        return np.asarray((self.layers != 0).any(axis=0))

    def mask(self, structure: str) -> Mask | None:
        """Voxels (k, j, i) of a structure, by its name or another word for it; None without it."""
        named = find_name(self.places, structure)
        if named is None:
            return None
        layer, values = self.places[named]
        return np.isin(self.layers[layer], values)


def find_name(names: Mapping[str, object], structure: str) -> str | None:
    """Which of the names is that of a structure, exactly or else by its meaning."""
    if structure in names:
        return structure
    return next((name for name in names if same_structure(name, structure)), None)


def read_masks(path: Path, case: LabelledCase, values: Mapping[str, tuple[int, ...]]) -> MaskFile:
    """Read masks and put them on the voxels of a case's CT.

    Unlike the voxels of a CT they may all be 0: the other program found nothing then. Where the
    CT's files do not say where its voxels lie, those of the masks count as they are stored.

    Parameters
    ----------
    path
        NIfTI, NRRD, MHA, or Slicer's ``.seg.nrrd``, of which the names are taken.
    case
        In whatever order of axes.
    values
        Of each structure in a label map.

    Raises
    ------
    EvaluationError
        If the file cannot be read, holds no whole numbers, or does not lie on the voxels of the CT.
    """
    try:
        image = read_label_image(path)
        layers = _layers(image, path)
        geometry = ijk_to_ras_of(image) if case.in_millimetres else case.volume.ijk_to_ras
        ct = case.volume.canonical()
        on_ct = [
            ct.restore(labels_on_voxels(Volume(layer, geometry), ct, path.name)) for layer in layers
        ]
    except SegVolError as error:
        raise EvaluationError(f"The masks of {case.name}: {error}") from error
    places = {name: (0, each) for name, each in values.items()}
    if _is_slicers(path):
        try:
            places = _slicer_places(image)
        except (RuntimeError, ValueError) as error:
            raise EvaluationError(
                f"The masks of {case.name}: {path.name} does not say what its values mean."
            ) from error
    return MaskFile(np.stack(on_ct), places)


def _layers(image: SimpleITK.Image, path: Path) -> NDArray[Any]:
    """Voxels (layer, k, j, i)."""
    single = image.GetNumberOfComponentsPerPixel() == 1
    if image.GetDimension() != 3 or not (single or _is_slicers(path)):
        raise TrainingDataError(
            f"{path.name} is no 3-D label map: save it so, or as a file per structure."
        )
    voxels = SimpleITK.GetArrayFromImage(image)
    return voxels[None] if single else np.moveaxis(voxels, 3, 0)


def _is_slicers(path: Path) -> bool:
    return path.name.lower().endswith(SUFFIXES[0])


def _slicer_places(image: SimpleITK.Image) -> dict[str, tuple[int, tuple[int, ...]]]:
    """Layer and value of each segment, from the header of a ``.seg.nrrd`` file."""
    places: dict[str, tuple[int, tuple[int, ...]]] = {}
    for key in image.GetMetaDataKeys():
        match = _SEGMENT_NAME.fullmatch(key)
        if match:
            layer, value = (
                int(image.GetMetaData(f"{match[1]}_{what}")) for what in ("Layer", "LabelValue")
            )
            places[image.GetMetaData(key)] = (layer, (value,))
    return places
