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

from segvol_core.evaluation.cases import LabelledCase, same_structure
from segvol_core.evaluation.label_maps import EvaluationError, labels_on_voxels, whole_numbers
from segvol_core.evaluation.metrics import Mask
from segvol_core.itk_images import ijk_to_ras_of, quiet_itk
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
        Layer and value of each structure.
    """

    layers: NDArray[Any]
    places: Mapping[str, tuple[int, int]]

    def anything(self) -> Mask:
        """Voxels (k, j, i) of whatever there is."""
        return np.asarray((self.layers != 0).any(axis=0))

    def mask(self, structure: str) -> Mask | None:
        """Voxels (k, j, i) of a structure, by its name or another word for it; None without it."""
        named = find_name(self.places, structure)
        if named is None:
            return None
        layer, value = self.places[named]
        return np.asarray(self.layers[layer] == value)


def find_name(names: Mapping[str, object], structure: str) -> str | None:
    """Which of the names is that of a structure, exactly or else by its meaning."""
    if structure in names:
        return structure
    return next((name for name in names if same_structure(name, structure)), None)


def read_masks(path: Path, case: LabelledCase, label_values: Mapping[str, int]) -> MaskFile:
    """Read masks and put them on the voxels of a case's CT.

    Unlike the voxels of a CT they may all be 0: the other program found nothing then.

    Parameters
    ----------
    path
        NIfTI, NRRD, MHA, or Slicer's ``.seg.nrrd``, of which the names are taken.
    case
        In whatever order of axes.
    label_values
        Value of each structure in a label map.

    Raises
    ------
    EvaluationError
        If the file cannot be read, holds no whole numbers, or does not lie on the voxels of the CT.
    """
    whose = f"The masks of {case.name} ({path.name})"
    try:
        with quiet_itk():
            image = SimpleITK.ReadImage(str(path))
    except RuntimeError as error:
        raise EvaluationError(f"{whose} cannot be read: damaged, or no image.") from error
    slicer = path.name.lower().endswith(SUFFIXES[0])
    if image.GetDimension() != 3 or (image.GetNumberOfComponentsPerPixel() > 1 and not slicer):
        raise EvaluationError(
            f"{whose} are no 3-D label map: save them so, or as a file per structure."
        )
    voxels = whole_numbers(SimpleITK.GetArrayFromImage(image), whose)
    layers = np.moveaxis(voxels, 3, 0) if voxels.ndim == 4 else voxels[None]
    geometry = ijk_to_ras_of(image)
    on_ct = [labels_on_voxels(case.volume, Volume(layer, geometry), whose) for layer in layers]
    places = {name: (0, value) for name, value in label_values.items()}
    if slicer:
        try:
            places = _slicer_places(image)
        except (RuntimeError, ValueError) as error:
            raise EvaluationError(f"{whose} do not say what their values mean.") from error
    return MaskFile(np.stack(on_ct), places)


def _slicer_places(image: SimpleITK.Image) -> dict[str, tuple[int, int]]:
    """Layer and value of each segment, from the header of a ``.seg.nrrd`` file."""
    places = {}
    for key in image.GetMetaDataKeys():
        match = _SEGMENT_NAME.fullmatch(key)
        if match:
            layer, value = (
                int(image.GetMetaData(f"{match[1]}_{what}")) for what in ("Layer", "LabelValue")
            )
            places[image.GetMetaData(key)] = (layer, value)
    return places
