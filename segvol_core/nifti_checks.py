"""What ITK does to NIfTI files without a word, found out so that the user can be told.

It fills a truncated file with zeros, turns NaN into 0 (which is water in a CT), and chooses one of
two orientations if they differ.
"""

import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from segvol_core.errors import VolumeError
from segvol_core.itk_images import ijk_to_ras_of

_FLOAT_TYPES: dict[str, np.dtype[Any]] = {"16": np.dtype("f4"), "64": np.dtype("f8")}
"""Numpy's types for NIfTI's codes of the floating-point ones."""

_UNKNOWN_UNIT, _MILLIMETRES = 0, 2
"""NIfTI's codes of units of length, the lower three bits of xyzt_units."""


def is_nifti(path: Path) -> bool:
    """Whether ITK reads a file as NIfTI.

    The metadata do not tell: a file that was converted from NIfTI may have kept them.
    """
    return bool(SimpleITK.ImageFileReader.GetImageIOFromFileName(str(path)) == "NiftiImageIO")


def non_finite_voxels(path: Path, header: SimpleITK.ImageFileReader) -> NDArray[np.bool_] | None:
    """Where a NIfTI file has NaN or infinite voxels, as an array (k, j, i); None if nowhere.

    Raises
    ------
    VolumeError
        If the file is truncated, its compressed data are damaged, or its voxels are in another
        file.
    """
    if header.GetMetaData("nifti_type") != "1":
        raise VolumeError(f"{path.name} is NIfTI in two files (.hdr and .img): save it as .nii.")
    size = header.GetSize()[:3]
    start = int(float(header.GetMetaData("vox_offset")))
    end = start + int(np.prod(size)) * int(header.GetMetaData("bitpix")) // 8
    float_type = _FLOAT_TYPES.get(header.GetMetaData("datatype"))
    blocks = []
    length = 0
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if packed else path.open("rb") as file:
            while block := file.read(1 << 20):
                length += len(block)
                if float_type is not None:
                    blocks.append(block)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise VolumeError(f"{path.name} is truncated or damaged.") from error
    if length < end:
        raise VolumeError(f"{path.name} is truncated: it holds fewer voxels than it states.")
    if float_type is None:
        return None
    content = b"".join(blocks)
    # The header starts with its own length, 348 or 540, in the byte order of the file.
    little_endian = content[2:4] == b"\x00\x00"
    stored_type = float_type.newbyteorder("<" if little_endian else ">")
    voxels = np.frombuffer(content[start:end], dtype=stored_type)
    missing = ~np.isfinite(voxels)
    return missing.reshape(size[::-1]) if missing.any() else None


def orientation_warnings(image: SimpleITK.Image) -> list[str]:
    """Sentences for the user if a NIfTI image states no orientation, or two that differ."""
    qform, sform = (int(image.GetMetaData(key)) for key in ("qform_code", "sform_code"))
    if qform == 0 and sform == 0:
        return [
            "The NIfTI file states no orientation: left and right, front and back may be swapped."
        ]
    unit = int(image.GetMetaData("xyzt_units")) % 8
    # ITK rescales other units, but not the sform that it reports.
    if sform > 0 and unit in (_UNKNOWN_UNIT, _MILLIMETRES) and _sform_deviation(image) > 0.1:
        return ["The NIfTI file's qform and sform differ; the qform is used, as 3D Slicer does."]
    return []


def _sform_deviation(image: SimpleITK.Image) -> float:
    """Largest distance, in voxels, of a corner of the volume from where the sform has it."""
    rows = [image.GetMetaData(f"srow_{axis}").split() for axis in "xyz"]
    sform = np.array(rows, dtype=np.float64)
    corners_ijk = np.indices((2, 2, 2)).reshape(3, 8).T * (np.asarray(image.GetSize()) - 1)
    corners = np.column_stack([corners_ijk, np.ones(8)])
    distances = np.linalg.norm(corners @ (sform - ijk_to_ras_of(image)[:3]).T, axis=1)
    return float(distances.max() / min(image.GetSpacing()))
