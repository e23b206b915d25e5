"""Windows that show one structure each, and a box or clicks on it: no overview, no names."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import Tensor

from segvol_core.model.config import Size3
from segvol_core.training import augmentation as augment
from segvol_core.training import prompt_simulation as simulate
from segvol_core.training.augmentation import Geometry, Strength
from segvol_core.training.cases import TrainingCase
from segvol_core.training.coarse_masks import simulate_coarse_mask
from segvol_core.training.prompt_simulation import box_of
from segvol_core.training.targets import MIN_VOXELS, BoolArray, WindowTargets, label_mask, part_of

FloatArray = npt.NDArray[np.float64]
Kind = Literal["box", "points", "points+box", "coarse"]

_KINDS: dict[Kind, float] = {"box": 0.3, "points": 0.4, "points+box": 0.1, "coarse": 0.2}
_PART_SHARE = 0.35
REGIONS_FOR_CLICKS = 0.25
"""How often clicks are on pseudo-labels, as a part of how often boxes are."""
_SEEN_OF_A_LARGE_BOX = 0.7
"""A window is moved along a box as long as the box reaches beyond so much of it."""
_LEAST_SHIFT = 3.0
_LARGER_OFTEN = 0.35
_LARGER_SIZES = [
    factors
    for factors in itertools.product((1.0, 1.4, 2.0, 3.0), repeat=3)
    if 1 < math.prod(factors) <= 3
]
"""A region that has grown round a click, or holds a large box, is longer than the window."""


@dataclass(frozen=True)
class PromptedWindows:
    """A batch of windows with prompts of one kind.

    Attributes
    ----------
    images
        (n, D, H, W), grey values in [0, 1].
    boxes
        (n, 6), first and last voxel, which may lie beyond the window; None where the kind has none.
    points
        As the network takes them, or None.
    coarse
        Logits (n, D, H, W) of coarse masks, or None.
    targets
        (n, D, H, W) bool.
    """

    kind: Kind
    images: Tensor
    boxes: Tensor | None
    points: tuple[Tensor, Tensor] | None
    coarse: Tensor | None
    targets: Tensor


@dataclass(frozen=True)
class ShownStructure:
    """A window (D, H, W), the mask of a structure in it, and the box (6,) round all of that."""

    image: Tensor
    target: BoolArray
    around: FloatArray


class StructureWindows:
    """Draws windows from one case.

    Who clicks means an organ far more often than any region of like grey values, and not one that
    is cut off anywhere: most of those are shown with boxes. Else a network that is asked what a
    click means answers with parts of organs.

    Parameters
    ----------
    case
        A prepared case.
    window
        The network's window.
    region_share
        How often a pseudo-label is taken where there are structures as well.
    """

    def __init__(self, case: TrainingCase, window: Size3, region_share: float) -> None:
        self._case = case
        self._window = window
        self._region_share = region_share
        self._structures = dict(_boxes_of_structures(case))
        self._regions = dict(_boxes_of_regions(case))

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show."""
        return not self._structures and not self._regions

    @property
    def has_structures(self) -> bool:
        """Whether there are structures that were annotated."""
        return bool(self._structures)

    def draw(
        self,
        rng: np.random.Generator,
        strength: Strength,
        kind: Kind = "box",
        size: Size3 | None = None,
    ) -> ShownStructure:
        """A window for a kind of prompt, drawn again where too little of its structure is shown.

        ``size`` is that of the network's window, if none is given.
        """
        window = np.array(self._window if size is None else size)
        clicks = kind in ("points", "coarse")
        region_share = self._region_share * (REGIONS_FOR_CLICKS if clicks else 1)
        while True:
            regions = not self._structures or (bool(self._regions) and rng.random() < region_share)
            boxes = self._regions if regions else self._structures
            value = list(boxes)[int(rng.integers(len(boxes)))]
            geometry, around = _place(boxes[value], window, strength, rng)
            shown = WindowTargets(self._case, geometry)
            target = shown.region_mask(value) if regions else shown.label_mask(value)
            around = _where_it_is_seen(around, target)
            if (
                regions
                and not clicks
                and _holds(window, around)
                and rng.random() < _PART_SHARE
                and target.any()
            ):
                target, around = _part(target, around, rng)
            if target.sum() < MIN_VOXELS:
                continue
            image = augment.sample_image(self._case.image, geometry)
            if shown.all_labels is not None:
                medium = strength.contrast_medium
                image = augment.inject(image, self._case, shown.all_labels, medium, rng)
            image = augment.change_grey_values(image, rng, strength.grey_values)
            return ShownStructure(image, target, around)


def _place(
    box: FloatArray, window: npt.NDArray[np.int64], strength: Strength, rng: np.random.Generator
) -> tuple[Geometry, FloatArray]:
    """A window that shows a box, or a part of a large one, and the box round that box in it."""
    low, high = box[:3], box[3:]
    extent = high - low + 1
    stretch = strength.scale ** (0.6 * rng.uniform(-1, 1) + 0.4 * rng.uniform(-1, 1, 3))
    room = (extent - _SEEN_OF_A_LARGE_BOX * window * stretch) / 2
    middle = (low + high) / 2 + rng.uniform(-1, 1, 3) * np.maximum(room, _LEAST_SHIFT)
    step = stretch * np.where(rng.random(3) < np.array(strength.flips), -1, 1)
    matrix = augment.rotation(rng.uniform(-1, 1, 3) * strength.rotation) * step[None, :]
    offsets = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in window), indexing="ij")
    indices = np.tensordot(matrix, np.stack(offsets), axes=1) + middle[:, None, None, None]
    # From side to side, since voxels of window and image are not of the same size.
    corners = np.array(list(itertools.product(*zip(low - 0.5, high + 0.5, strict=True))))
    inside = np.linalg.solve(matrix, (corners - middle).T).T + (window - 1) / 2
    box = np.concatenate([inside.min(axis=0) + 0.5, inside.max(axis=0) - 0.5])
    return Geometry(torch.from_numpy(indices).float(), nearest=False), box


def _holds(window: npt.NDArray[np.int64], box: FloatArray) -> bool:
    return bool((box[:3] >= 0).all() and (box[3:] <= window - 1).all())


def _part(
    target: BoolArray, around: FloatArray, rng: np.random.Generator
) -> tuple[BoolArray, FloatArray]:
    """What a plane leaves of a target, and the box round that."""
    z, y, x = (torch.arange(n).float() for n in target.shape)
    part = part_of((target, target), (z, y, x), rng)
    return (target, around) if part is None else (part[0], box_of(part[0]).astype(np.float64))


def _where_it_is_seen(around: FloatArray, target: BoolArray) -> FloatArray:
    """A box with its sides where a target has its own, as far as the window shows them.

    The box round a turned box is larger than what is in it.
    """
    if not target.any():
        return around
    seen = box_of(target).astype(np.float64)
    last = np.array(target.shape) - 1
    cut = np.concatenate([seen[:3] == 0, seen[3:] == last])
    return np.where(cut, around, seen)


def draw_kind(rng: np.random.Generator) -> Kind:
    """What the next prompts are made of."""
    kinds = list(_KINDS)
    return kinds[int(rng.choice(len(kinds), p=list(_KINDS.values())))]


def draw_size(window: Size3, multiple: int, rng: np.random.Generator) -> Size3:
    """The size of the next windows: mostly the network's, else larger, in such multiples."""
    if rng.random() >= _LARGER_OFTEN:
        return window
    factors = _LARGER_SIZES[int(rng.integers(len(_LARGER_SIZES)))]
    z, y, x = (
        math.ceil(n * factor / multiple) * multiple
        for n, factor in zip(window, factors, strict=True)
    )
    return z, y, x


def prompted(
    shown: Sequence[ShownStructure], kind: Kind, rng: np.random.Generator
) -> PromptedWindows:
    """Windows with the prompts of a kind that a user would give."""
    boxes, points, coarse = None, None, None
    if "box" in kind:
        drawn = [simulate.drawn_by_hand(each.around, rng) for each in shown]
        boxes = torch.from_numpy(np.stack(drawn).astype(np.float32))
    if "points" in kind:
        points = simulate.stack_points([_clicks(each.target, rng) for each in shown])
    if kind == "coarse":
        coarse = torch.stack([simulate_coarse_mask(each.target, rng) for each in shown])
    return PromptedWindows(
        kind,
        torch.stack([each.image for each in shown]),
        boxes,
        points,
        coarse,
        torch.from_numpy(np.stack([each.target for each in shown])),
    )


def _clicks(target: BoolArray, rng: np.random.Generator) -> simulate.PointPrompt:
    z, y, x = (torch.arange(n).float() for n in target.shape)
    clicks, _ = simulate.simulate_clicks(target, target, (z, y, x), rng, neighbours=False)
    return clicks


def _boxes_of_structures(case: TrainingCase) -> Iterator[tuple[int, FloatArray]]:
    """First and last voxel in the image of each structure that is not tiny."""
    if case.labels is None:
        return
    for value in case.label_values.values():
        mask = label_mask(case.labels, case.values_of(value)).numpy()
        if mask.sum() >= MIN_VOXELS:
            yield value, box_of(mask).astype(np.float64)


def _boxes_of_regions(case: TrainingCase) -> Iterator[tuple[int, FloatArray]]:
    """First and last voxel in the image of each pseudo-label of which smoothing leaves enough."""
    scale, offset = np.array(case.regions.scale), np.array(case.regions.offset)
    found = ndimage.find_objects(case.regions.regions.numpy().astype(np.int32))
    for region, slices in enumerate(found, 1):
        if slices is None:
            continue
        if augment.smooth_region(case.regions.regions, region).sum() >= 2 * MIN_VOXELS:
            sides = np.array([[each.start - 0.5, each.stop - 0.5] for each in slices]).T
            low, high = (sides - offset) / scale
            yield region, np.concatenate([low + 0.5, high - 0.5])
