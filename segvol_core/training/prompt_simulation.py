"""Prompts that a user would give for a target mask.

A target is seen twice, zoomed out and zoomed in, and so is a click: all voxels are indices
(d, h, w) of one of the two windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import Tensor

from segvol_core.model.prompt_encoder import IGNORE, NEGATIVE, POSITIVE
from segvol_core.training.augmentation import Positions

BoolArray = npt.NDArray[np.bool_]
Voxel = npt.NDArray[np.int64]
Box = npt.NDArray[np.float32]
"""First and last voxel (6,), inclusive."""

POINT_SLOTS = 5
"""Points that a window gets when zooming in (published code: 1 random, up to 4 more)."""

_MAX_CLICKS = 4
_MAX_NEGATIVE = 2
_SIDE_HIDDEN_BY = 1.5
"""Overview voxels by which a side may seem to lie elsewhere."""


@dataclass(frozen=True)
class PointPrompt:
    """Clicks on one target.

    Attributes
    ----------
    voxels
        (n, 3) indices (d, h, w).
    labels
        (n,): 1 in the target, 0 outside, -1 says nothing.
    """

    voxels: npt.NDArray[np.float32]
    labels: npt.NDArray[np.float32]


def simulate_clicks(
    overview_mask: BoolArray,
    window_mask: BoolArray,
    positions: Positions,
    rng: np.random.Generator,
    *,
    neighbours: bool = True,
) -> tuple[PointPrompt, PointPrompt]:
    """Clicks on an organ: mostly one, near its middle or anywhere; sometimes some outside it.

    Parameters
    ----------
    overview_mask, window_mask
        The organ zoomed out and zoomed in.
    positions
        Where the window's voxels lie in the overview.
    neighbours
        Whether a click in the window brings its neighbours along, as when zooming in.

    Returns
    -------
    overview, window
        The same clicks as both are given them. As in inference, a window without a click gets one
        point that says nothing.
    """
    grid = _Grid(positions)
    count = 1 if rng.random() < 0.7 else int(rng.integers(2, _MAX_CLICKS + 1))
    clicks = [_click(overview_mask, window_mask, grid, rng) for _ in range(count)]
    negative = []
    if rng.random() < 0.2:
        negative = _negative_clicks(overview_mask, window_mask, grid, rng)
    overview = _points([out for out, _ in clicks], [out for out, _ in negative], 0)
    inside = [voxel for _, voxel in clicks if voxel is not None]
    outside = [voxel for _, voxel in negative if voxel is not None]
    if neighbours and inside and rng.random() < 0.9:
        # The voxels that share a zoom-out voxel with the click; they may lie outside the target.
        spread = rng.integers([-1, -1, -1], [2, 2, 2], (max(0, POINT_SLOTS - len(inside)), 3))
        last = np.array(window_mask.shape) - 1
        inside += [np.clip(inside[0] + shift, 0, last) for shift in spread]
    silent = max(0, POINT_SLOTS - len(inside)) if inside else int(not outside)
    return overview, _points(inside, outside, silent)


def simulate_box(
    overview_mask: BoolArray, window_mask: BoolArray, positions: Positions, rng: np.random.Generator
) -> tuple[Box, Box]:
    """A box drawn by hand: each side off by up to 5 % of the extent, and by up to a window voxel.

    Parameters are as in :func:`simulate_clicks`.

    Returns
    -------
    overview, window
        The same box as first and last voxel of both; in the window it may reach beyond.
    """
    grid = _Grid(positions)
    tight = grid.sharpened(grid.box_in_window(box_of(overview_mask)), window_mask)
    drawn = drawn_by_hand(tight, rng)
    overview = np.concatenate([grid.in_overview(drawn[:3]), grid.in_overview(drawn[3:])])
    return overview.astype(np.float32), drawn.astype(np.float32)


def drawn_by_hand(
    tight: npt.NDArray[np.float64], rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """A box (6,) in window voxels as somebody would draw it, each side a little off."""
    extent = tight[3:] - tight[:3] + 1
    reach = np.tile(extent * 0.05, 2) + rng.uniform(0, 1, 6) * np.tile(np.minimum(1, extent / 8), 2)
    drawn: npt.NDArray[np.float64] = np.round(tight + rng.uniform(-1, 1, 6) * reach)
    drawn[3:] = np.maximum(drawn[3:], drawn[:3])
    return drawn


def stack_points(prompts: Sequence[PointPrompt]) -> tuple[Tensor, Tensor]:
    """Points of a batch (batch, n, 3) and labels (batch, n), filled with ones that say nothing."""
    most = max(len(prompt.labels) for prompt in prompts)
    voxels = np.full((len(prompts), most, 3), -1, dtype=np.float32)
    labels = np.full((len(prompts), most), IGNORE, dtype=np.float32)
    for row, prompt in enumerate(prompts):
        voxels[row, : len(prompt.labels)] = prompt.voxels
        labels[row, : len(prompt.labels)] = prompt.labels
    return torch.from_numpy(voxels), torch.from_numpy(labels)


def centre_voxel(mask: BoolArray) -> Voxel:
    """The voxel deepest inside a mask; of a large one, deepest on every other voxel."""
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    part = mask[box]
    step = [1, 2, 2] if part.size > 30000 and part[:, ::2, ::2].any() else [1, 1, 1]
    part = part[tuple(slice(None, None, s) for s in step)]
    # A row of zeros around it, so that the window's border is a border of the organ too.
    depth = ndimage.distance_transform_edt(np.pad(part, 1), sampling=np.array([1, 1, 1]) * step)
    deepest = np.array(np.unravel_index(depth.argmax(), depth.shape)) - 1
    start = np.array([axis.start for axis in box])
    return (start + deepest * step).astype(np.int64)


def random_voxel(mask: BoolArray, rng: np.random.Generator) -> Voxel:
    """Any voxel of a mask."""
    inside = np.flatnonzero(mask)
    return np.array(np.unravel_index(inside[rng.integers(len(inside))], mask.shape))


def box_of(mask: BoolArray) -> Box:
    """Tight box round a mask that is not empty."""
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    low = [axis.start for axis in box]
    high = [axis.stop - 1 for axis in box]
    return np.array(low + high, dtype=np.float32)


class _Grid:
    """Voxels of a window and of the overview that they lie in."""

    def __init__(self, positions: Positions) -> None:
        self._first = np.array([float(axis[0]) for axis in positions])
        self._step = np.array([float(axis[1] - axis[0]) for axis in positions])
        self._shape = np.array([len(axis) for axis in positions])

    def in_overview(self, voxel: Voxel | npt.NDArray[np.float64]) -> Voxel:
        """The overview voxel in which the middle of a window voxel lies."""
        place = np.rint(self._first + voxel * self._step)
        inside: Voxel = np.clip(place, 0, self._shape - 1).astype(np.int64)
        return inside

    def box_in_window(self, box: Box) -> npt.NDArray[np.float64]:
        """A box of the overview, side for side, in window voxels; it may reach beyond them."""
        low = (box[:3] - 0.5 - self._first) / self._step + 0.5
        high = (box[3:] + 0.5 - self._first) / self._step - 0.5
        return np.concatenate([low, np.maximum(low, high)])

    def sharpened(
        self, box: npt.NDArray[np.float64], window_mask: BoolArray
    ) -> npt.NDArray[np.float64]:
        """The box with those sides that the window shows where the window shows them.

        A voxel of the overview is several of the window, and hides by as many where a side is.
        """
        if not window_mask.any():
            return box
        shown = box_of(window_mask).astype(np.float64)
        last = np.array(window_mask.shape) - 1
        cut = np.concatenate([shown[:3] == 0, shown[3:] == last])
        near = np.abs(shown - box) <= _SIDE_HIDDEN_BY / np.tile(self._step, 2)
        return np.where(near & ~cut, shown, box)

    def in_window(self, voxel: Voxel, rng: np.random.Generator) -> Voxel | None:
        """A window voxel that an overview voxel stands for, or None outside the window."""
        place = np.rint((voxel + rng.uniform(-0.5, 0.5, 3) - self._first) / self._step)
        if (place < 0).any() or (place >= self._shape).any():
            return None
        inside: Voxel = place.astype(np.int64)
        return inside


def _click(
    overview_mask: BoolArray, window_mask: BoolArray, grid: _Grid, rng: np.random.Generator
) -> tuple[Voxel, Voxel | None]:
    """A click in the window, if the organ is there, or anywhere in the organ."""
    if window_mask.any() and rng.random() < 0.7:
        voxel = centre_voxel(window_mask) if rng.random() < 0.4 else random_voxel(window_mask, rng)
        return grid.in_overview(voxel), voxel
    middle = rng.random() < 0.5
    click = centre_voxel(overview_mask) if middle else random_voxel(overview_mask, rng)
    return click, grid.in_window(click, rng)


def _negative_clicks(
    overview_mask: BoolArray, window_mask: BoolArray, grid: _Grid, rng: np.random.Generator
) -> list[tuple[Voxel, Voxel | None]]:
    """Voxels outside the organ, most of them near it."""
    clicks: list[tuple[Voxel, Voxel | None]] = []
    for _ in range(int(rng.integers(1, _MAX_NEGATIVE + 1))):
        close = bool(window_mask.any()) and rng.random() < 0.6
        mask = window_mask if close else overview_mask
        box = box_of(mask)
        low = np.maximum(0, box[:3] - 3).astype(int)
        high = np.minimum(np.array(mask.shape), box[3:] + 4).astype(int)
        voxel = rng.integers(low, high)
        if mask[tuple(voxel)]:
            continue
        clicks.append(
            (grid.in_overview(voxel), voxel) if close else (voxel, grid.in_window(voxel, rng))
        )
    return clicks


def _points(positive: Sequence[Voxel], negative: Sequence[Voxel], silent: int) -> PointPrompt:
    voxels = [*positive, *negative, *[np.full(3, -1)] * silent]
    labels = [POSITIVE] * len(positive) + [NEGATIVE] * len(negative) + [IGNORE] * silent
    return PointPrompt(
        np.array(voxels, dtype=np.float32).reshape(-1, 3), np.array(labels, dtype=np.float32)
    )
