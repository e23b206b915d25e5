"""Geometry of zoom-out-zoom-in: where to look closer, and what a prompt means in one window.

All indices are voxels of the prepared image in the order (z, y, x). The procedure is the published
one (``SegVol/inference_demo.py``, ``SegVol/utils/monai_inferers_utils.py``); what differs for
``lattice`` windows is said where it does.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from segvol_core.model.config import Size3
from segvol_core.model.prompt_encoder import IGNORE, NEGATIVE, POSITIVE
from segvol_core.preprocessing import bounding_box

Placement = Literal["published", "lattice"]
"""``published``: from the corner of the region of interest, as the paper's code does.
``lattice``: spread evenly over the volume, whatever the prompt, so that a window encoded for one
serves every other."""

NO_BOX = (-1.0,) * 6
"""What the published code gives for a window in which the coarse mask is empty."""

OUTSIDE_LOGIT = -5.0
"""Coarse logit beyond the volume."""

_POINT_SLOTS = 5
_REGION_MARGIN = 4
"""Voxels, so that what is just outside a box is seen."""
_LATTICE_STEP = 0.55
"""Of a window, at most, from one to the next. With half a window, most volumes end with a window
that shows little that the one before does not show: a CT of 133 slices has 7 in place of 8."""
_LATTICE_MARGIN = 16
"""A lattice covers the coarse mask and a sixteenth of a window around it: about two cells of the
coarse logits on a volume of twice the window's size."""


@dataclass(frozen=True)
class ImagePrompt:
    """A prompt on the prepared image.

    Attributes
    ----------
    points
        (n, 3) voxels, inside the image.
    labels
        (n,) ``POSITIVE`` or ``NEGATIVE``.
    box
        First and last voxel (inclusive), or None.
    text
        What the text encoder reads, or None.
    """

    points: Tensor
    labels: Tensor
    box: tuple[Size3, Size3] | None
    text: str | None

    @property
    def positive(self) -> Tensor:
        """(n, 3) voxels (z, y, x) clicked as belonging to the structure."""
        return self.points[self.labels == POSITIVE]


@dataclass(frozen=True)
class Region:
    """A box of voxels: ``low`` inclusive, ``high`` exclusive."""

    low: Size3
    high: Size3

    @property
    def size(self) -> Size3:
        """Voxels per axis."""
        z, y, x = (b - a for a, b in zip(self.low, self.high, strict=True))
        return z, y, x

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """Index of the region in an image."""
        z, y, x = (slice(a, b) for a, b in zip(self.low, self.high, strict=True))
        return z, y, x

    def clipped_to(self, other: Region) -> Region:
        """What both have in common; empty where they do not meet."""
        low = tuple(max(a, b) for a, b in zip(self.low, other.low, strict=True))
        high = tuple(max(a, min(b, c)) for a, b, c in zip(low, self.high, other.high, strict=True))
        return Region(low, high)  # type: ignore[arg-type]

    def relative_to(self, origin: Size3) -> Region:
        """The same region counted from another voxel."""
        low = tuple(a - o for a, o in zip(self.low, origin, strict=True))
        high = tuple(b - o for b, o in zip(self.high, origin, strict=True))
        return Region(low, high)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Window:
    """One position of the network's window.

    Attributes
    ----------
    extent
        The window's voxels, which may reach beyond ``content``.
    content
        The part that shows the image; the rest is zero.
    """

    extent: Region
    content: Region

    def cut_from(self, image: Tensor, outside: float = 0.0) -> Tensor:
        """The window's voxels of an image (D, H, W), ``outside`` around its content."""
        inside = image[self.content.slices]
        margins = [
            (c - a, b - d)
            for a, b, c, d in zip(
                self.extent.low, self.extent.high, self.content.low, self.content.high, strict=True
            )
        ]
        padding = [side for pair in reversed(margins) for side in pair]
        return F.pad(inside, padding, value=outside) if any(padding) else inside


# -- Zoom-out ------------------------------------------------------------------------------------


def zoomed_out_index(size: int, window: int) -> Tensor:
    """For each voxel of an axis, the zoom-out voxel that ``nearest`` resizing takes it from."""
    index = torch.arange(window, dtype=torch.float32)[None, None]
    return F.interpolate(index, size=size, mode="nearest")[0, 0].long()


def zoom_out_points(prompt: ImagePrompt, shape: Size3, window: Size3) -> tuple[Tensor, Tensor]:
    """The prompt's points in zoom-out voxels: (1, n, 3) and labels (1, n)."""
    columns = [
        zoomed_out_index(n, w)[prompt.points[:, axis]]
        for axis, (n, w) in enumerate(zip(shape, window, strict=True))
    ]
    return torch.stack(columns, dim=1).float()[None], prompt.labels.float()[None]


def zoom_out_box(box: tuple[Size3, Size3], shape: Size3, window: Size3) -> Tensor:
    """A box in zoom-out voxels: (1, 6)."""
    maps = [zoomed_out_index(n, w) for n, w in zip(shape, window, strict=True)]
    corners = [float(maps[axis][corner[axis]]) for corner in box for axis in range(3)]
    return torch.tensor([corners])


def expand_zoomed_out(logits: Tensor, shape: Size3) -> Tensor:
    """Zoom-out logits (D, H, W) at the image's shape, by ``nearest`` as published."""
    return F.interpolate(logits[None, None], size=shape, mode="nearest")[0, 0]


def interpolate_zoomed_out(logits: Tensor, shape: Size3) -> Tensor:
    """Zoom-out logits (D, H, W) at the image's shape, interpolated between voxels.

    Not the published way: for networks that are given coarse logits when they zoom in.
    """
    return F.interpolate(logits[None, None], size=shape, mode="trilinear", align_corners=False)[
        0, 0
    ]


def box_relative_to(box: tuple[Size3, Size3], origin: Size3) -> Tensor:
    """A box counted from another voxel: (1, 6), not clipped."""
    return torch.tensor(
        [[float(a - o) for corner in box for a, o in zip(corner, origin, strict=True)]]
    )


def bounds(voxels: Tensor) -> tuple[Size3, Size3]:
    """First and last voxel of the box round some voxels (n, 3)."""
    low, last = (tuple(each.tolist()) for each in (voxels.amin(0), voxels.amax(0)))
    return low, last


# -- Zoom-in -------------------------------------------------------------------------------------


def region_of_interest(found: tuple[Size3, Size3], shape: Size3, window: Size3) -> Region:
    """First and last voxel of a mask, padded to the window's size if smaller (published rule).

    The published upper end is clamped to the shape and then taken as inclusive; what that adds
    beyond the image is empty.
    """
    low, high = [], []
    for first, last, w, n in zip(*found, window, shape, strict=True):
        padding = max(0, w - (last - first + 1)) // 2
        low.append(max(0, first - padding))
        high.append(min(n, min(n, last + padding) + 1))
    return Region(tuple(low), tuple(high))  # type: ignore[arg-type]


def region_at_once(
    found: tuple[Size3, Size3], shape: Size3, window: Size3, multiple: int
) -> Window:
    """First and last voxel of a mask as one window of any size, with a margin around it.

    It is at least as large as the network's window, and each side is such a multiple.
    """
    corner, size = [], []
    for first, last, w in zip(*found, window, strict=True):
        needed = max(w, last - first + 1 + 2 * _REGION_MARGIN)
        size.append(math.ceil(needed / multiple) * multiple)
        corner.append((first + last) // 2 - size[-1] // 2)
    return _window(tuple(corner), tuple(size), Region((0, 0, 0), shape))  # type: ignore[arg-type]


def published_windows(region: Region, window: Size3) -> list[Window]:
    """Windows from the region's corner at half-window steps, the last shifted back inside.

    A region smaller than the window is zero-padded symmetrically, so a window sees nothing of the
    image outside the region.
    """
    starts = []
    for low, size, w in zip(region.low, region.size, window, strict=True):
        padding = max(w - size, 0)
        starts.append([low - padding // 2 + start for start in _half_steps(size + padding, w)])
    return [_window(corner, window, region) for corner in itertools.product(*starts)]


def lattice_windows(shape: Size3, window: Size3) -> list[Window]:
    """Windows spread evenly over a volume, from edge to edge."""
    whole = Region((0, 0, 0), shape)
    starts = [_lattice(n, w) for n, w in zip(shape, window, strict=True)]
    return [_window(corner, window, whole) for corner in itertools.product(*starts)]


def lattice_cover(foreground: Region, shape: Size3, window: Size3) -> list[Window]:
    """The run of lattice windows, per axis, that covers a region and a margin around it."""
    starts = []
    for low, high, n, w in zip(foreground.low, foreground.high, shape, window, strict=True):
        margin = w // _LATTICE_MARGIN
        first, last = max(0, low - margin), min(n, high + margin)
        steps = _lattice(n, w)
        begin = max(step for step in steps if step <= first)
        end = min(step for step in steps if step + w >= last)
        starts.append([step for step in steps if begin <= step <= max(begin, end)])
    whole = Region((0, 0, 0), shape)
    return [_window(corner, window, whole) for corner in itertools.product(*starts)]


def _lattice(size: int, window: int) -> list[int]:
    """Starts of lattice windows along an axis; a shorter axis lies in the middle of one window."""
    if size <= window:
        return [-((window - size) // 2)]
    steps = math.ceil((size - window) / (_LATTICE_STEP * window))
    return [round(index * (size - window) / steps) for index in range(steps + 1)]


def _half_steps(size: int, window: int) -> list[int]:
    """Starts of windows at half-window steps that cover ``size`` voxels, the last one inside."""
    step = max(1, window // 2)
    count = math.ceil((size - window) / step) + 1
    return [min(index * step, size - window) for index in range(count)]


def _window(corner: tuple[int, ...], window: Size3, visible: Region) -> Window:
    high = tuple(a + w for a, w in zip(corner, window, strict=True))
    extent = Region(corner, high)  # type: ignore[arg-type]
    return Window(extent, extent.clipped_to(visible))


# -- Prompts in a window -------------------------------------------------------------------------


def box_in_window(
    prompt: ImagePrompt, window: Window, coarse_foreground: Tensor, *, only_window: bool
) -> Tensor:
    """The box that the network is given in one window: (1, 6), counted from the window's corner.

    With a single window it is the user's box, if there is one; else the bounding box of the coarse
    mask inside the window, or ``NO_BOX`` where that is empty.
    """
    origin = window.extent.low
    if prompt.box is not None and only_window:
        low, high = prompt.box
        user = Region(low, (high[0] + 1, high[1] + 1, high[2] + 1)).clipped_to(window.content)
        inside = user.relative_to(origin)
        if min(inside.size) == 0:
            return torch.tensor([NO_BOX])
        last = [after - 1 for after in inside.high]
        return torch.tensor([[*inside.low, *last]], dtype=torch.float32)
    found = bounding_box(coarse_foreground[window.content.slices])
    if found is None:
        return torch.tensor([NO_BOX])
    shown = window.content.relative_to(origin).low
    corners = [
        voxel + start for corner in found for voxel, start in zip(corner, shown, strict=True)
    ]
    return torch.tensor([corners], dtype=torch.float32)


def points_in_window(
    prompt: ImagePrompt, window: Window, shape: Size3, zoom_window: Size3
) -> tuple[Tensor, Tensor]:
    """The points that the network is given in one window: (1, n, 3) and labels (1, n).

    The published code draws one, and up to four more, of the voxels that the zoom-out voxel of a
    click stands for. Here the click itself comes first and the nearest of those voxels follow, so
    that the same click gives the same mask. Negative clicks, which the published code drops, come
    last. A window without a click gets one point that says nothing.
    """
    origin = torch.tensor(window.extent.low)
    positive = _inside(prompt.positive, window.content)
    negative = _inside(prompt.points[prompt.labels == NEGATIVE], window.content)
    if len(positive):
        more = _inside(_same_zoom_out_voxel(prompt.positive, shape, zoom_window), window.content)
        distance = torch.cdist(more.double(), positive.double()).amin(dim=1)
        nearest = more[torch.argsort(distance, stable=True)[: _POINT_SLOTS - 1]]
        positive = torch.cat([positive, nearest])[: max(_POINT_SLOTS, len(positive))]
    missing = _POINT_SLOTS - len(positive) if len(positive) else int(not len(negative))
    silent = origin.new_full((max(missing, 0), 3), -1) + origin
    points = torch.cat([positive, silent, negative]) - origin
    labels = [POSITIVE] * len(positive) + [IGNORE] * len(silent) + [NEGATIVE] * len(negative)
    return points.float()[None], torch.tensor([labels], dtype=torch.float32)


def _same_zoom_out_voxel(points: Tensor, shape: Size3, window: Size3) -> Tensor:
    """All image voxels (n, 3) that share a zoom-out voxel with one of the points."""
    found: list[tuple[int, ...]] = []
    for point in points.tolist():
        axes = []
        for index, n, w in zip(point, shape, window, strict=True):
            mapped = zoomed_out_index(n, w)
            axes.append(torch.nonzero(mapped == mapped[index])[:, 0].tolist())
        found.extend(itertools.product(*axes))
    return torch.tensor(sorted(set(found)))


def _inside(points: Tensor, region: Region) -> Tensor:
    low, high = torch.tensor(region.low), torch.tensor(region.high)
    return points[((points >= low) & (points < high)).all(dim=1)]
