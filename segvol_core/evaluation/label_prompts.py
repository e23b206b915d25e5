"""Prompts as a careful user would give them, made from a label: always the same ones.

A click is the voxel deepest inside the structure, a box its bounding box, a text the name under
which the vocabulary knows it. Clicks after the first are in `segvol_core.evaluation.clicks`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from segvol_core import organs
from segvol_core.errors import SegVolError
from segvol_core.evaluation.metrics import Mask, bounding_box, region_between
from segvol_core.prompts import Box, Point, Prompts, box_from_ijk, point_from_ijk
from segvol_core.volume import Volume

_SAME_DEPTH_MM = 1e-6


class PromptKind(Enum):
    """What is said about a structure; the paper evaluates the same combinations.

    ``points5`` is five clicks, each placed after the answer to those before it.
    """

    TEXT = "text"
    POINT = "point"
    POINTS5 = "points5"
    BOX = "box"
    TEXT_BOX = "text+box"
    TEXT_POINT = "text+point"
    BOX_POINT = "box+point"

    @property
    def parts(self) -> frozenset[str]:
        """Of ``"text"``, ``"point"`` and ``"box"`` those that are said at first."""
        return frozenset({"point"}) if self is PromptKind.POINTS5 else _words(self.value)

    @property
    def clicks(self) -> int:
        """How many clicks are made, one after the other."""
        return 5 if self is PromptKind.POINTS5 else int("point" in self.parts)


def parse_kinds(text: str) -> list[PromptKind]:
    """Kinds of a list such as ``box,point,text+box``, each once; ``all`` is every kind.

    Raises
    ------
    SegVolError
        If a kind is unknown, or there is none.
    """
    if text.strip() == "all":
        return list(PromptKind)
    by_words = {_words(kind.value): kind for kind in PromptKind}
    kinds = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        kind = by_words.get(_words(word))
        if kind is None:
            known = ", ".join(kind.value for kind in PromptKind)
            raise SegVolError(f"“{word}” is no kind of prompt: give some of {known}, or all.")
        kinds.append(kind)
    if not kinds:
        raise SegVolError("No kind of prompt was given.")
    return list(dict.fromkeys(kinds))


def prompts_from_label(volume: Volume, mask: Mask, name: str, kind: PromptKind) -> Prompts | None:
    """What is said first about a structure; None if it needs a text that the vocabulary lacks.

    Parameters
    ----------
    volume
        Where the mask lies.
    mask
        (k, j, i), not empty.
    name
        As the label file writes it, for instance ``kidney_left``.
    kind
        What is said.
    """
    text = prompt_text(name) if "text" in kind.parts else None
    if "text" in kind.parts and text is None:
        return None
    return Prompts(
        points=(click(volume, mask),) if "point" in kind.parts else (),
        box=exact_box(volume, mask) if "box" in kind.parts else None,
        text=text,
    )


def prompt_text(name: str) -> str | None:
    """What the model is given for a structure's name, or None if the vocabulary lacks it."""
    organ = organs.find_known(name)
    return None if organ is None else organ.prompt


def click(volume: Volume, mask: Mask, *, positive: bool = True) -> Point:
    """One click on the voxel deepest inside a mask (k, j, i)."""
    k, j, i = volume.spacing_ijk[::-1].tolist()
    return point_from_ijk(volume, deepest_voxel(mask, (k, j, i)).tolist()[::-1], positive)


def exact_box(volume: Volume, mask: Mask) -> Box:
    """The bounding box of the voxels of a mask (k, j, i)."""
    low, high = bounding_box(mask)
    return box_from_ijk(volume, low.tolist()[::-1], high.tolist()[::-1])


def deepest_voxel(mask: Mask, spacing_mm: Sequence[float]) -> NDArray[np.int64]:
    """Index (3,) of the voxel farthest, in millimetres, from everything outside a mask.

    The edge of the volume counts as outside. Of voxels equally deep, as along a tube, it is the
    one nearest to the mask's centre of mass, then the first.

    Parameters
    ----------
    mask
        Not empty.
    spacing_mm
        Voxel size along the axes of the mask.
    """
    low, high = bounding_box(mask)
    inside = mask[region_between(low, high)]
    depth = distance_transform_edt(np.pad(inside, 1), sampling=spacing_mm)[1:-1, 1:-1, 1:-1]
    deepest = np.argwhere(depth >= depth.max() - _SAME_DEPTH_MM)
    centre = np.argwhere(inside).mean(axis=0)
    off_centre = np.linalg.norm((deepest - centre) * np.asarray(spacing_mm), axis=1)
    return np.asarray(low + deepest[int(np.argmin(off_centre.round(6)))], dtype=np.int64)


def _words(kind: str) -> frozenset[str]:
    return frozenset(word.strip() for word in kind.split("+"))
