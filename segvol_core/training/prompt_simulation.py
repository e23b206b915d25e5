"""Prompts that a user, or zooming out, would give for a target mask.

All voxels are indices (d, h, w) of the network's window.
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
from segvol_core.zoom import NO_BOX

BoolArray = npt.NDArray[np.bool_]

POINT_SLOTS = 5
"""Points that a window gets when zooming in (published code: 1 random, up to 4 more)."""

_MAX_CLICKS = 4
_MAX_NEGATIVE = 2


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


def simulate_clicks(mask: BoolArray, rng: np.random.Generator) -> PointPrompt:
    """Clicks on a whole organ: mostly one near its middle, else several, sometimes some outside."""
    clicks = [centre_voxel(mask) if rng.random() < 0.5 else random_voxel(mask, rng)]
    if rng.random() < 0.3:
        clicks += [random_voxel(mask, rng) for _ in range(int(rng.integers(1, _MAX_CLICKS)))]
    negative = _negative_clicks(mask, rng) if rng.random() < 0.2 else []
    return _points(clicks, negative, 0)


def simulate_clicks_in_window(mask: BoolArray, rng: np.random.Generator) -> PointPrompt:
    """Clicks as zooming in gives them: a click and its neighbours, or none in this window."""
    if not mask.any() or rng.random() < 0.35:
        return _points([], [], 1)
    click = centre_voxel(mask) if rng.random() < 0.4 else random_voxel(mask, rng)
    clicks = [click]
    if rng.random() < 0.25:
        clicks.append(random_voxel(mask, rng))
    if rng.random() < 0.9:
        # The voxels that share a zoom-out voxel with the click; they may lie outside the target.
        spread = rng.integers([-1, -1, -1], [2, 2, 2], (POINT_SLOTS - len(clicks), 3))
        last = np.array(mask.shape) - 1
        clicks += [np.clip(click + shift, 0, last) for shift in spread]
    negative = _negative_clicks(mask, rng) if rng.random() < 0.15 else []
    return _points(clicks, negative, POINT_SLOTS - len(clicks))


def simulate_box(mask: BoolArray, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """A box drawn by hand: each side off by up to 5 % of the extent, and by up to a voxel."""
    return _jittered_box(mask, rng, relative=0.05, voxels=1.0)


def simulate_coarse_box(mask: BoolArray, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """The bounding box of what zooming out found in a window: right, loose, tight or missing."""
    if not mask.any():
        if rng.random() < 0.5:
            return np.array(NO_BOX, dtype=np.float32)
        return _border_box(mask.shape, rng)
    chance = rng.random()
    if chance < 0.04:
        return np.array(NO_BOX, dtype=np.float32)
    if chance < 0.5:
        return _jittered_box(mask, rng, relative=0.06, voxels=2.0)
    return _jittered_box(mask, rng, relative=0.2, voxels=3.0)


def stack_points(prompts: Sequence[PointPrompt]) -> tuple[Tensor, Tensor]:
    """Points of a batch (batch, n, 3) and labels (batch, n), filled with ones that say nothing."""
    most = max(len(prompt.labels) for prompt in prompts)
    voxels = np.full((len(prompts), most, 3), -1, dtype=np.float32)
    labels = np.full((len(prompts), most), IGNORE, dtype=np.float32)
    for row, prompt in enumerate(prompts):
        voxels[row, : len(prompt.labels)] = prompt.voxels
        labels[row, : len(prompt.labels)] = prompt.labels
    return torch.from_numpy(voxels), torch.from_numpy(labels)


def centre_voxel(mask: BoolArray) -> npt.NDArray[np.int64]:
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


def random_voxel(mask: BoolArray, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Any voxel of a mask."""
    inside = np.flatnonzero(mask)
    return np.array(np.unravel_index(inside[rng.integers(len(inside))], mask.shape))


def box_of(mask: BoolArray) -> npt.NDArray[np.float32]:
    """Tight box: first and last voxel (inclusive)."""
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    low = [axis.start for axis in box]
    high = [axis.stop - 1 for axis in box]
    return np.array(low + high, dtype=np.float32)


def _jittered_box(
    mask: BoolArray, rng: np.random.Generator, *, relative: float, voxels: float
) -> npt.NDArray[np.float32]:
    tight: npt.NDArray[np.float32] = box_of(mask)
    extent = tight[3:] - tight[:3] + 1
    reach = np.tile(extent * relative, 2) + rng.uniform(0, voxels, 6) * np.tile(
        np.minimum(1, extent / 8), 2
    )
    last = np.tile(np.array(mask.shape) - 1, 2)
    moved = np.clip(np.round(tight + rng.uniform(-1, 1, 6) * reach), 0, last)
    moved[3:] = np.maximum(moved[3:], moved[:3])
    drawn: npt.NDArray[np.float32] = moved.astype(np.float32)
    return drawn


def _border_box(shape: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """A thin box at one side of the window, into which a neighbour's coarse mask leaks."""
    size = np.array(shape)
    extent = np.maximum(1, np.round(size * rng.uniform(0.05, 0.4, 3)))
    low = np.floor(rng.random(3) * (size - extent))
    axis = rng.integers(3)
    extent[axis] = max(1, round(size[axis] * 0.06))
    low[axis] = 0 if rng.random() < 0.5 else size[axis] - extent[axis]
    return np.concatenate([low, low + extent - 1]).astype(np.float32)


def _negative_clicks(mask: BoolArray, rng: np.random.Generator) -> list[npt.NDArray[np.int64]]:
    """Voxels outside the mask, most of them near it."""
    box = box_of(mask)
    low = np.maximum(0, box[:3] - 3).astype(int)
    high = np.minimum(np.array(mask.shape), box[3:] + 4).astype(int)
    clicks = []
    for _ in range(int(rng.integers(1, _MAX_NEGATIVE + 1))):
        voxel = rng.integers(low, high)
        if not mask[tuple(voxel)]:
            clicks.append(voxel)
    return clicks


def _points(
    positive: Sequence[npt.NDArray[np.int64]],
    negative: Sequence[npt.NDArray[np.int64]],
    silent: int,
) -> PointPrompt:
    voxels = [*positive, *negative, *[np.full(3, -1)] * silent]
    labels = [POSITIVE] * len(positive) + [NEGATIVE] * len(negative) + [IGNORE] * silent
    return PointPrompt(
        np.array(voxels, dtype=np.float32).reshape(-1, 3), np.array(labels, dtype=np.float32)
    )
