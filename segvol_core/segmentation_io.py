"""Writing segments: Slicer's .seg.nrrd, or label maps for everything else.

A file appears under its name only when it is complete: it is written in a temporary folder beside
the target and then moved, so that an error leaves whatever was there before.
"""

import os
import re
import tempfile
import unicodedata
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK
import slicerio
from numpy.typing import NDArray

from segvol_core.errors import SegVolWarning, VolumeError
from segvol_core.itk_images import LPS_TO_RAS, place_image
from segvol_core.organs import Organ
from segvol_core.volume import FloatArray, Volume

SLICER_SUFFIX = ".seg.nrrd"
SUFFIXES = (SLICER_SUFFIX, ".nii.gz", ".nii", ".nrrd", ".mha")
"""What can be written; the first one that a file name ends in counts."""

_SLICER_TISSUE = (128, 174, 128)
"""Slicer's colour of "Tissue", its terminology for a segment of which nothing is known."""

# Text of a terminology entry: printable ASCII without the separators ~ ^ |.
_TEXT = r"[ -\]_-{}]*"
_CODE = rf"{_TEXT}\^{_TEXT}\^{_TEXT}"
_TERMINOLOGY = re.compile(rf"{_TEXT}(~{_CODE}){{3}}~{_TEXT}(~{_CODE}){{2}}")


@dataclass(frozen=True, eq=False)
class Segment:
    """A segment to be written.

    Parameters
    ----------
    name
        What the user sees; any text on one line.
    mask
        Truth values in the axes of the volume, shape (k, j, i).
    colour
        Red, green and blue, 0 to 255. The default is Slicer's for tissue.
    terminology
        Slicer's terminology entry as Slicer writes it into files: context~category~type~modifier~
        anatomic context~region~region modifier, each code as scheme^value^meaning.

    Raises
    ------
    VolumeError
        If one of them is not of that form.
    """

    name: str
    mask: NDArray[np.bool_]
    colour: tuple[int, int, int] = _SLICER_TISSUE
    terminology: str | None = None

    def __post_init__(self) -> None:
        if not self.name.strip() or any(unicodedata.category(c) == "Cc" for c in self.name):
            raise VolumeError("The name of a segment must be text on one line.")
        if self.mask.ndim != 3 or self.mask.dtype != np.bool_:
            raise VolumeError("The mask of a segment must be a 3-D array of truth values.")
        if len(self.colour) != 3 or not all(0 <= value <= 255 for value in self.colour):
            raise VolumeError("The colour of a segment must be three numbers from 0 to 255.")
        if self.terminology is not None and not _TERMINOLOGY.fullmatch(self.terminology):
            raise VolumeError(f"The terminology of {self.name} is not in Slicer's form.")


def segment_of_organ(name: str, mask: NDArray[np.bool_], organ: Organ | None) -> Segment:
    """Return a segment with the colour and the terminology of an organ, if it is known as one.

    Raises
    ------
    VolumeError
        As `Segment`.
    """
    if organ is None:
        return Segment(name, mask)
    return Segment(name, mask, organ.color, organ.terminology_entry())


def target_files(
    path: str | os.PathLike[str], names: Sequence[str], *, split: bool = False
) -> list[Path]:
    """Return the files that `write_segmentation` would write for segments of these names.

    Raises
    ------
    VolumeError
        If the suffix is unknown, the folder is missing, or a folder has the name of a file.
    """
    path = Path(path)
    suffix = _suffix(path)
    files = [path.with_name(n) for n in _file_names(path, suffix, names)] if split else [path]
    for file in files:
        if file.is_dir():
            raise VolumeError(f"{file} is a folder, not a file.")
    return files


def check_target(path: str | os.PathLike[str], volume: Volume) -> str:
    """Check that a segmentation of this volume can be written there, before it is computed.

    Returns
    -------
    The suffix, one of `SUFFIXES`.

    Raises
    ------
    VolumeError
        If the suffix is unknown, the folder is missing, or the format cannot hold the geometry.
    """
    target_files(path, ())
    suffix = _suffix(Path(path))
    if suffix in (".nii.gz", ".nii") and not _has_right_angles(volume.ijk_to_ras):
        raise VolumeError(
            f"The axes of this volume are not at right angles, which {suffix} cannot hold: write "
            f"{SLICER_SUFFIX}, .nrrd or .mha."
        )
    return suffix


def write_segmentation(
    path: str | os.PathLike[str],
    volume: Volume,
    segments: Sequence[Segment],
    *,
    split: bool = False,
) -> list[Path]:
    """Write segments of a volume; the suffix decides the format.

    `.seg.nrrd` keeps names, colours, terminology and overlaps, for 3D Slicer. The others are label
    maps with the values 1, 2, ... in the order of the segments; where segments overlap the later
    one wins, with a `SegVolWarning`.

    Parameters
    ----------
    volume
        Where the masks lie; its voxels are not used.
    split
        One file per segment, its name (with letters that no file system minds) added to the file's:
        `ct_liver.nii.gz` and `ct_spleen.nii.gz` for the path `ct.nii.gz`.

    Returns
    -------
    The files written, in the order of the segments if split.

    Raises
    ------
    VolumeError
        As `check_target`; also if there are no segments, a mask is of another shape than the
        volume, or the disk refuses. Files that were there stay as they are then.
    """
    path = Path(path)
    suffix = check_target(path, volume)
    if not segments:
        raise VolumeError("There are no segments to write.")
    for segment in segments:
        if segment.mask.shape != volume.shape_kji:
            raise VolumeError(
                f"The mask of {segment.name} has the shape {segment.mask.shape}, "
                f"the volume {volume.shape_kji}."
            )
    targets = target_files(path, [segment.name for segment in segments], split=split)
    groups = [[segment] for segment in segments] if split else [list(segments)]
    contents = dict(zip(targets, groups, strict=True))
    try:
        with tempfile.TemporaryDirectory(prefix=".segvol-", dir=path.parent) as folder:
            complete = {target: Path(folder) / f"{n}{suffix}" for n, target in enumerate(contents)}
            for target, group in contents.items():
                _write_file(complete[target], suffix, volume.ijk_to_ras, group)
            for target, file in complete.items():
                file.replace(target)
    except (OSError, RuntimeError) as error:
        raise VolumeError(f"{path} cannot be written: {_reason(error)}.") from error
    return list(contents)


def _suffix(path: Path) -> str:
    suffix = next((s for s in SUFFIXES if path.name.lower().endswith(s)), None)
    if suffix is None or len(path.name) == len(suffix):
        raise VolumeError(
            f"{path.name} is no name for a segmentation: it must end in {', '.join(SUFFIXES)}."
        )
    if not path.parent.is_dir():
        raise VolumeError(f"There is no folder {path.parent}.")
    return suffix


def _write_file(
    path: Path, suffix: str, ijk_to_ras: FloatArray, segments: Sequence[Segment]
) -> None:
    if suffix == SLICER_SUFFIX:
        _write_slicer(path, ijk_to_ras, segments)
    else:
        _write_label_map(path, ijk_to_ras, segments)


def _write_slicer(path: Path, ijk_to_ras: FloatArray, segments: Sequence[Segment]) -> None:
    layers, layer_of = _layers(segments)
    voxels = layers[0].T if len(layers) == 1 else np.stack([layer.T for layer in layers])
    described = [
        {
            "id": f"Segment_{value}",
            # Only here ASCII, see _put_names.
            "name": segment.name.encode("ascii", "replace").decode("ascii"),
            "nameAutoGenerated": False,
            "color": [round(part / 255, 6) for part in segment.colour],
            "colorAutoGenerated": False,
            "labelValue": value,
            "layer": layer,
            "tags": {"TerminologyEntry": segment.terminology} if segment.terminology else {},
        }
        for value, (segment, layer) in enumerate(zip(segments, layer_of, strict=True), start=1)
    ]
    segmentation = {
        "voxels": voxels,
        "ijkToLPS": LPS_TO_RAS @ ijk_to_ras,
        "containedRepresentationNames": ["Binary labelmap"],
        "masterRepresentation": "Binary labelmap",
        "referenceImageExtentOffset": [0, 0, 0],
        "segments": described,
    }
    # Level 9 takes several times as long as 3 for a label map that is hardly smaller.
    slicerio.write_segmentation(str(path), segmentation, compression_level=3)
    _put_names(path, [segment.name for segment in segments])


def _layers(segments: Sequence[Segment]) -> tuple[list[NDArray[np.integer]], list[int]]:
    """Put each segment n, counted from 1, into the first layer where it overlaps no other.

    Returns
    -------
    Arrays (k, j, i) of the values n, and for each segment the number of its layer.
    """
    dtype = np.min_scalar_type(len(segments))
    layers: list[NDArray[np.integer]] = []
    layer_of = []
    for value, segment in enumerate(segments, start=1):
        free = (n for n, layer in enumerate(layers) if not layer[segment.mask].any())
        number = next(free, len(layers))
        if number == len(layers):
            layers.append(np.zeros(segment.mask.shape, dtype=dtype))
        layers[number][segment.mask] = value
        layer_of.append(number)
    return layers, layer_of


def _put_names(path: Path, names: Sequence[str]) -> None:
    r"""Write the names into the header of a .seg.nrrd as Slicer does: in UTF-8, with \ doubled.

    pynrrd, which slicerio writes with, writes ASCII only.
    """
    header, separator, data = path.read_bytes().partition(b"\n\n")
    lines = header.split(b"\n")
    for n, name in enumerate(names):
        key = f"Segment{n}_Name:=".encode()
        text = name.replace("\\", "\\\\").encode()
        lines = [key + text if line.startswith(key) else line for line in lines]
    path.write_bytes(b"\n".join(lines) + separator + data)


def _write_label_map(path: Path, ijk_to_ras: FloatArray, segments: Sequence[Segment]) -> None:
    labels = np.zeros(segments[0].mask.shape, dtype=np.min_scalar_type(len(segments)))
    overlapping = 0
    for value, segment in enumerate(segments, start=1):
        overlapping += int(np.count_nonzero(labels[segment.mask]))
        labels[segment.mask] = value
    if overlapping:
        warnings.warn(
            f"Segments overlap in {overlapping} voxels, which a label map cannot hold: the later "
            f"segment has them. {SLICER_SUFFIX} keeps both.",
            SegVolWarning,
            stacklevel=4,
        )
    image = SimpleITK.GetImageFromArray(labels)
    place_image(image, ijk_to_ras)
    SimpleITK.WriteImage(image, str(path), True)


def _has_right_angles(ijk_to_ras: FloatArray) -> bool:
    """Whether the axes are at right angles, but for 0.3 mm over the width of a body."""
    directions = ijk_to_ras[:3, :3] / np.linalg.norm(ijk_to_ras[:3, :3], axis=0)
    return bool(np.abs(directions.T @ directions - np.eye(3)).max() < 1e-3)


def _file_names(path: Path, suffix: str, names: Sequence[str]) -> list[str]:
    """Return a file name per segment name, different ones also where case does not count."""
    stem = path.name[: -len(suffix)]
    file_names: list[str] = []
    taken: set[str] = set()
    for name in names:
        # 50 letters of up to 4 bytes leave room within the 255 bytes of a file name.
        safe = re.sub(r"[^\w.-]+", "_", name).strip("_.")[:50] or "segment"
        candidate, count = safe, 1
        while candidate.casefold() in taken:
            count += 1
            candidate = f"{safe}_{count}"
        taken.add(candidate.casefold())
        file_names.append(f"{stem}_{candidate}{suffix}")
    return file_names


def _reason(error: Exception) -> str:
    """Why a file could not be written, without ITK's place in its source code."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return "the image library reports an error"
