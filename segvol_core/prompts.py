"""What a user says: points, a box and a text, in RAS millimetres; and where that is in a volume.

Prompts are immutable values that know nothing of voxels. `place` puts them on a volume. Only numpy
is needed, so that Slicer's own Python can import this module.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segvol_core.errors import PromptError
from segvol_core.volume import CanonicalVolume, FloatArray, Volume

Position = tuple[float, float, float]
"""A place in RAS millimetres."""

IntArray = NDArray[np.int64]

_CORNERS = np.array(list(itertools.product((0.0, 1.0), repeat=3)))
"""Corners of the unit cube, (8, 3)."""

_VOXEL_TOLERANCE = 1e-3
"""How far, in voxels, a box may end before a voxel's centre and still hold it: rounding only."""


@dataclass(frozen=True)
class Point:
    """A click, in RAS millimetres: on what is wanted, or (not positive) on what is not.

    Raises
    ------
    PromptError
        If the position is not three finite numbers, or `positive` is not true or false.
    """

    ras: Position
    positive: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "ras", _position(self.ras, "A point"))
        if not isinstance(self.positive, bool):
            raise PromptError("A point is positive (true) or negative (false), nothing else.")


@dataclass(frozen=True)
class Box:
    """A box round what is wanted, upright or rotated, as its eight corners in RAS millimetres.

    Use `from_bounds`, `from_center` or `from_corners`; the order of the corners does not matter.
    The box may be as thin as a sheet, a line or a point.

    Raises
    ------
    PromptError
        If there are not eight corners of three finite numbers.
    """

    corners: tuple[Position, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.corners, Sequence) or len(self.corners) != 8:
            raise PromptError("A box has eight corners.")
        corners = tuple(_position(corner, "A corner of a box") for corner in self.corners)
        object.__setattr__(self, "corners", corners)

    @classmethod
    def from_bounds(cls, min_ras: ArrayLike, max_ras: ArrayLike) -> "Box":
        """Box along the R, A and S axes between two opposite corners, in either order."""
        low, high = _numbers(min_ras, (3,), "A corner"), _numbers(max_ras, (3,), "A corner")
        return cls.from_corners(low + _CORNERS * (high - low))

    @classmethod
    def from_corners(cls, corners_ras: ArrayLike) -> "Box":
        """Box of eight corners, shape (8, 3)."""
        corners = _numbers(corners_ras, (8, 3), "The corners of a box")
        return cls(tuple((r, a, s) for r, a, s in corners.tolist()))

    @classmethod
    def from_center(cls, center_ras: ArrayLike, axes: ArrayLike, size_mm: ArrayLike) -> "Box":
        """Rotated box, as 3D Slicer describes its regions of interest.

        Parameters
        ----------
        center_ras
            Shape (3,), in RAS millimetres.
        axes
            Shape (3, 3); its columns are the directions of the box's edges in RAS, of any length.
        size_mm
            Shape (3,), length of the edges along those directions.

        Raises
        ------
        PromptError
            If something is not finite, a direction has no length, or a size is negative.
        """
        center = _numbers(center_ras, (3,), "The centre of a box")
        directions = _numbers(axes, (3, 3), "The axes of a box")
        size = _numbers(size_mm, (3,), "The size of a box")
        lengths = np.linalg.norm(directions, axis=0)
        if not lengths.all():
            raise PromptError("An axis of the box has no direction.")
        if (size < 0).any():
            raise PromptError("The size of a box cannot be negative.")
        edges = directions / lengths * size
        return cls.from_corners(center + (_CORNERS - 0.5) @ edges.T)


@dataclass(frozen=True)
class Prompts:
    """Everything said about one segment: points, a box and a text, in any combination.

    Raises
    ------
    PromptError
        If there is nothing, or nothing but negative points, or something of the wrong kind.
    """

    points: tuple[Point, ...] = ()
    box: Box | None = None
    text: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "points", tuple(self.points))
        if not all(isinstance(point, Point) for point in self.points):
            raise PromptError("The points of a prompt must be points.")
        if self.box is not None and not isinstance(self.box, Box):
            raise PromptError("The box of a prompt must be a box.")
        if self.text is not None:
            if not isinstance(self.text, str) or not self.text.strip():
                raise PromptError("The text of a prompt is empty.")
            object.__setattr__(self, "text", self.text.strip())
        if self.box is None and self.text is None:
            if not self.points:
                raise PromptError("There is no prompt: give a point, a box or a text.")
            if not any(point.positive for point in self.points):
                raise PromptError(
                    "There are only negative points: say what is wanted with a positive point, "
                    "a box or a text."
                )

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold; `from_dict` gives equal prompts back."""
        return {
            "points": [{"ras": list(p.ras), "positive": p.positive} for p in self.points],
            "box": None if self.box is None else [list(corner) for corner in self.box.corners],
            "text": self.text,
        }

    @classmethod
    def from_dict(cls, data: object) -> "Prompts":
        """Prompts from what `to_dict` gives, checked strictly since it may come from a network.

        Raises
        ------
        PromptError
            If a key is unknown, or a value is missing or of the wrong kind.
        """
        fields = _fields(data, "Prompts", allowed={"points", "box", "text"})
        points = fields.get("points", [])
        if not isinstance(points, list):
            raise PromptError("The points of a prompt must be a list.")
        box = fields.get("box")
        if box is not None and not isinstance(box, list):
            raise PromptError("A box must be a list of eight corners.")
        return cls(
            points=tuple(_point_from_dict(point) for point in points),
            box=None if box is None else Box(tuple(box)),
            text=fields.get("text"),
        )


@dataclass(frozen=True, eq=False)
class VoxelPrompts:
    """Prompts on the voxels of a canonical volume.

    Parameters
    ----------
    points_zyx
        Voxel indices, shape (N, 3), all inside the volume.
    labels
        1 for a positive point, 0 for a negative one, shape (N,).
    box_zyx
        First voxel and last voxel of the box, (z, y, x, z, y, x), both inside box and volume.
    text
        As the user typed it.
    """

    points_zyx: IntArray
    labels: IntArray
    box_zyx: IntArray | None
    text: str | None


def place(prompts: Prompts, volume: CanonicalVolume) -> VoxelPrompts:
    """Put prompts on the voxels of a volume.

    A point goes to the voxel that it lies in. A box becomes the bounding box of the voxels whose
    centres lie in the box's extent along the volume's axes, at least one voxel thick, and is
    clipped to the volume.

    Raises
    ------
    PromptError
        If a point lies outside the volume (it is named), or the whole box does.
    """
    points = [_voxel_of_point(point, volume) for point in prompts.points]
    labels = [int(point.positive) for point in prompts.points]
    return VoxelPrompts(
        points_zyx=np.array(points, dtype=np.int64).reshape(-1, 3),
        labels=np.array(labels, dtype=np.int64),
        box_zyx=None if prompts.box is None else _voxels_of_box(prompts.box, volume),
        text=prompts.text,
    )


def point_from_ijk(volume: Volume, ijk: Sequence[int], positive: bool = True) -> Point:
    """Point at the centre of a voxel, given as (i, j, k).

    Raises
    ------
    PromptError
        If the volume has no such voxel.
    """
    voxel = _numbers(ijk, (3,), "A voxel")
    size_ijk = volume.shape_kji[::-1]
    if (voxel < -0.5).any() or (voxel >= np.array(size_ijk) - 0.5).any():
        raise PromptError(
            f"The voxel {_written(voxel)} is outside the volume of "
            f"{size_ijk[0]} x {size_ijk[1]} x {size_ijk[2]} voxels (i, j, k from 0)."
        )
    r, a, s = volume.ras_of_ijk(voxel).tolist()
    return Point((r, a, s), positive)


def box_from_ijk(volume: Volume, first_ijk: Sequence[int], last_ijk: Sequence[int]) -> Box:
    """Box round the voxels from `first_ijk` to `last_ijk`, both included, in either order."""
    corners = np.stack([_numbers(first_ijk, (3,), "A voxel"), _numbers(last_ijk, (3,), "A voxel")])
    low, high = corners.min(axis=0) - 0.5, corners.max(axis=0) + 0.5
    return Box.from_corners(volume.ras_of_ijk(low + _CORNERS * (high - low)))


def _voxel_of_point(point: Point, volume: CanonicalVolume) -> IntArray:
    index = volume.zyx_of_ras(point.ras)
    if (index < -0.5).any() or (index >= np.array(volume.shape_zyx) - 0.5).any():
        raise PromptError(f"The point at {_written(point.ras)} mm (RAS) is outside the volume.")
    return np.floor(index + 0.5).astype(np.int64)


def _voxels_of_box(box: Box, volume: CanonicalVolume) -> IntArray:
    corners = volume.zyx_of_ras(box.corners)
    low, high = corners.min(axis=0), corners.max(axis=0)
    last_voxel = np.array(volume.shape_zyx) - 1
    if (high < -0.5).any() or (low >= last_voxel + 0.5).any():
        centre = _written(np.mean(box.corners, axis=0))
        raise PromptError(f"The box round {centre} mm (RAS) is outside the volume.")
    first = np.ceil(low - _VOXEL_TOLERANCE)
    last = np.floor(high + _VOXEL_TOLERANCE)
    middle = np.floor((low + high) / 2 + 0.5)
    thin = first > last
    first, last = np.where(thin, middle, first), np.where(thin, middle, last)
    voxels = np.concatenate([np.clip(first, 0, last_voxel), np.clip(last, 0, last_voxel)])
    return voxels.astype(np.int64)


def _point_from_dict(data: object) -> Point:
    fields = _fields(data, "A point", allowed={"ras", "positive"})
    if "ras" not in fields:
        raise PromptError("A point needs its position, ras.")
    return Point(fields["ras"], fields.get("positive", True))


def _fields(data: object, what: str, allowed: set[str]) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise PromptError(f"{what} must be an object with the keys {', '.join(sorted(allowed))}.")
    unknown = sorted(str(key) for key in data if key not in allowed)
    if unknown:
        raise PromptError(f"{what} cannot have {', '.join(unknown)}.")
    return data


def _position(value: object, what: str) -> Position:
    r, a, s = _numbers(value, (3,), what).tolist()
    return r, a, s


def _numbers(value: Any, shape: tuple[int, ...], what: str) -> FloatArray:
    """Finite numbers of a shape; strings and booleans are not taken for numbers."""
    sentence = f"{what} must be {' x '.join(str(n) for n in shape)} finite numbers."
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise PromptError(sentence) from error
    if array.dtype.kind not in "iuf" or array.shape != shape or not np.isfinite(array).all():
        raise PromptError(sentence)
    return array.astype(np.float64)


def _written(numbers: ArrayLike) -> str:
    rounded = np.round(np.asarray(numbers, dtype=np.float64), 3).tolist()
    return "(" + ", ".join(f"{number:g}" for number in rounded) + ")"
