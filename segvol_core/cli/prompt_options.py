"""Points, boxes and names as they are typed on the command line, and the segments they ask for.

Points and the box are one segment. Each name is a segment of its own, unless there is one name
together with points or a box: they all describe the same segment then.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from segvol_core import organs
from segvol_core.errors import OrganError, PromptError
from segvol_core.organs import Organ
from segvol_core.prompts import Box, Point, Prompts, box_from_ijk, point_from_ijk
from segvol_core.volume import Volume

DEFAULT_NAME = "Segment"

Voxel = tuple[int, int, int]
"""A voxel (i, j, k)."""


@dataclass(frozen=True)
class Marks:
    """Points and a box, in RAS millimetres or in voxels of a volume that is not read yet.

    Attributes
    ----------
    points
        In RAS millimetres.
    voxels
        Points as voxels, with whether they are positive.
    box
        A box in RAS millimetres.
    voxel_box
        A box as its first and its last voxel.
    """

    points: tuple[Point, ...] = ()
    voxels: tuple[tuple[Voxel, bool], ...] = ()
    box: Box | None = None
    voxel_box: tuple[Voxel, Voxel] | None = None

    def __bool__(self) -> bool:
        return self != Marks()


@dataclass(frozen=True)
class SegmentRequest:
    """A segment that is asked for.

    Attributes
    ----------
    name
        What the segment will be called.
    organ
        What gives it its colour and its code, if the vocabulary has it.
    text
        What the model is given, or None.
    marks
        Points and a box.
    """

    name: str
    organ: Organ | None
    text: str | None
    marks: Marks

    def prompts(self, volume: Volume) -> Prompts:
        """Prompts in RAS millimetres.

        Raises
        ------
        PromptError
            If a voxel lies outside the volume, or there is nothing but negative points.
        """
        voxels = (point_from_ijk(volume, voxel, positive) for voxel, positive in self.marks.voxels)
        box = self.marks.box
        if self.marks.voxel_box is not None:
            box = box_from_ijk(volume, *self.marks.voxel_box)
        return Prompts((*self.marks.points, *voxels), box, self.text)


def parse_marks(
    *,
    points: Sequence[str] = (),
    negative_points: Sequence[str] = (),
    points_ijk: Sequence[str] = (),
    negative_points_ijk: Sequence[str] = (),
    box: str | None = None,
    box_ijk: str | None = None,
) -> Marks:
    """Read what was typed for points and the box.

    Raises
    ------
    PromptError
        If something is not the numbers that it should be, or two boxes are given.
    """
    if box is not None and box_ijk is not None:
        raise PromptError("A segment has one box: give --box or --box-ijk.")
    return Marks(
        points=(
            *(_point(text, "--point", positive=True) for text in points),
            *(_point(text, "--negative-point", positive=False) for text in negative_points),
        ),
        voxels=(
            *((_voxel(text, "--point-ijk"), True) for text in points_ijk),
            *((_voxel(text, "--negative-point-ijk"), False) for text in negative_points_ijk),
        ),
        box=None if box is None else _box(box),
        voxel_box=None if box_ijk is None else _voxel_box(box_ijk),
    )


def requested_segments(
    texts: Sequence[str], marks: Marks, *, name: str | None = None, free_text: bool = False
) -> list[SegmentRequest]:
    """Return the segments that names, points and a box ask for.

    Parameters
    ----------
    texts
        Each a list of organ names, or with ``free_text`` a text for the model as it is.
    marks
        Points and a box.
    name
        What to call the segment, if there is one.
    free_text
        Whether the texts go to the model unchanged.

    Raises
    ------
    OrganError
        If the vocabulary does not know a name.
    PromptError
        If there is no prompt at all, several names come with points or a box or with one
        ``name``, or that name is no line of text.
    """
    wanted = _organs(texts, free_text=free_text)
    if len(wanted) > 1 and marks:
        raise PromptError(
            f"The points and the box are of one segment, but there are {len(wanted)} names: give "
            "one name with them, and run the command again for the others."
        )
    if name is not None:
        if not name.strip() or not name.isprintable():
            raise PromptError("--name must be text on one line.")
        if len(wanted) > 1:
            raise PromptError("--name is for one segment; several names name themselves.")
    if wanted:
        return [
            SegmentRequest(name or organ.display_name, organ, organ.prompt, marks)
            for organ in wanted
        ]
    if not marks:
        raise PromptError("There is no prompt: give --text, --point or --box.")
    organ = None if name is None else organs.find_known(name)
    return [SegmentRequest(name or DEFAULT_NAME, organ, None, marks)]


def _organs(texts: Sequence[str], *, free_text: bool) -> list[Organ]:
    if free_text:
        return list(dict.fromkeys(organs.free_text(text) for text in texts))
    try:
        return list(dict.fromkeys(organ for text in texts for organ in organs.parse_names(text)))
    except OrganError as error:
        message = f"{error} `segvol organs` lists them; --free-text passes any text as it is."
        raise OrganError(message, error.suggestions) from error


def _point(text: str, option: str, *, positive: bool) -> Point:
    r, a, s = _numbers(text, 3, f"{option} needs R,A,S in millimetres, such as 12.5,-40,100")
    return Point((r, a, s), positive)


def _voxel(text: str, option: str) -> Voxel:
    i, j, k = _whole_numbers(text, 3, f"{option} needs a voxel i,j,k, such as 256,256,40")
    return i, j, k


def _box(text: str) -> Box:
    expected = (
        "--box needs two opposite corners R,A,S,R,A,S in millimetres, such as 0,0,50,80,90,140"
    )
    corners = _numbers(text, 6, expected)
    return Box.from_bounds(corners[:3], corners[3:])


def _voxel_box(text: str) -> tuple[Voxel, Voxel]:
    expected = (
        "--box-ijk needs the first and the last voxel i,j,k,i,j,k, such as 200,210,30,280,300,60"
    )
    i, j, k, last_i, last_j, last_k = _whole_numbers(text, 6, expected)
    return (i, j, k), (last_i, last_j, last_k)


def _whole_numbers(text: str, count: int, expected: str) -> list[int]:
    numbers = _numbers(text, count, expected)
    if not all(number.is_integer() for number in numbers):
        raise PromptError(f"{expected}, and “{text}” is not whole numbers.")
    return [int(number) for number in numbers]


def _numbers(text: str, count: int, expected: str) -> list[float]:
    try:
        numbers = [float(part) for part in re.split(r"\s*[,;\s]\s*", text.strip())]
    except ValueError:
        numbers = []
    if len(numbers) != count or not all(math.isfinite(number) for number in numbers):
        raise PromptError(f"{expected}, and not “{text}”.")
    return numbers
