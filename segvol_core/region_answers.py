"""The second answer to boxes and clicks: all that is looked at closer, at once, in one network.

Not part of the published procedure: for networks with ``config.region_network_width``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from segvol_core import zoom
from segvol_core.model.config import Size3
from segvol_core.model.region_network import STEP, RegionNetwork
from segvol_core.preprocessing import bounding_box
from segvol_core.zoom import ImagePrompt, Window

_LARGEST_REGION = 600_000
"""Voxels that are seen at once; 800 000 would take 1.4 s on one core of an AMD EPYC."""
_LEAST_OF_A_BOX, _USUAL_PART_OF_A_BOX = 0.015, 0.15
"""Of 61 structures of the labelled trunk none fills less of its box, and half fill so much."""
_REACH_OF_A_CLICK = 0.75
"""Windows on each side of it; further away the coarse mask may be of anything."""


@dataclass(frozen=True)
class RegionPrompt:
    """What the network is asked: a prompt counted from the corner of its window, (1, ...) each."""

    window: Window
    points: tuple[Tensor, Tensor] | None
    box: Tensor | None


class RegionAnswers:
    """A region network on one image.

    Parameters
    ----------
    network
        In evaluation mode.
    image
        Prepared image (D, H, W).
    window
        The smallest region.
    """

    def __init__(self, network: RegionNetwork, image: Tensor, window: Size3) -> None:
        self._network = network
        self._image = image
        self._shape: Size3 = (image.shape[0], image.shape[1], image.shape[2])
        self._window = window

    def ask(self, prompt: ImagePrompt, coarse_foreground: Tensor) -> RegionPrompt | None:
        """The question about a prompt: all of its box, or else of the coarse mask near its clicks.

        None for a prompt by name alone, and for more than can be seen at once.
        """
        if prompt.box is not None:
            found = torch.tensor(prompt.box)
        elif len(prompt.positive):
            found = self._near(prompt.positive, coarse_foreground)
        else:
            return None
        bounds = zoom.bounds(torch.cat([found, prompt.positive]))
        window = zoom.region_at_once(bounds, self._shape, self._window, STEP)
        if math.prod(window.extent.size) > _LARGEST_REGION:
            return None
        points = None
        if len(prompt.points):
            places = prompt.points - torch.tensor(window.extent.low)
            points = places.float()[None], prompt.labels.float()[None]
        box = prompt.box and zoom.box_relative_to(prompt.box, window.extent.low)
        return RegionPrompt(window, points, box)

    def _near(self, clicks: Tensor, coarse_foreground: Tensor) -> Tensor:
        """First and last voxel (2, 3) of the coarse mask near clicks; (0, 3) if there is none."""
        reach = torch.tensor([round(_REACH_OF_A_CLICK * w) for w in self._window])
        low, beyond = (clicks.amin(0) - reach).clamp(min=0), clicks.amax(0) + reach + 1
        near = tuple(slice(*ends) for ends in zip(low.tolist(), beyond.tolist(), strict=True))
        found = bounding_box(coarse_foreground[near])
        return clicks[:0] if found is None else torch.tensor(found) + low

    def hear(self, logits: Tensor, asked: RegionPrompt, device: torch.device) -> None:
        """Make logits (D, H, W) the mean with the answer, in place.

        Somebody who draws a box says how far the structure reaches: the first answer counts as much
        as its mask fills the box, and outside the region nothing is as likely as it says.

        Parameters
        ----------
        device
            Where the network is.
        """
        window, points, box = asked.window, asked.points, asked.box
        with torch.inference_mode():
            answer = self._network.answer(
                window.cut_from(self._image)[None].to(device),
                points=points and (points[0].to(device), points[1].to(device)),
                boxes=None if box is None else box.to(device),
            )[0].cpu()
        shown = answer[window.content.relative_to(window.extent.low).slices]
        trust = 1.0
        if box is not None:
            drawn = box[0] + torch.tensor(window.extent.low * 2)
            trust = _overlap(bounding_box(logits > 0), drawn) ** 2
        mean = (trust * logits[window.content.slices] + shown) / (trust + 1)
        if box is not None:
            logits.mul_(trust).add_(zoom.OUTSIDE_LOGIT).div_(trust + 1)
        logits[window.content.slices] = mean
        if box is not None:
            _find_something(logits, drawn)


def _find_something(logits: Tensor, drawn: Tensor) -> None:
    """Make what is likeliest in a drawn box (6,) the mask, in place, where there would be none."""
    low, last = (corner.tolist() for corner in drawn.long().reshape(2, 3))
    inside = logits[tuple(slice(max(0, a), b + 1) for a, b in zip(low, last, strict=True))]
    if inside.numel() and float((inside > 0).float().mean()) < _LEAST_OF_A_BOX:
        inside.sub_(torch.quantile(inside.flatten(), 1 - _USUAL_PART_OF_A_BOX))


def _overlap(found: tuple[Size3, Size3] | None, drawn: Tensor) -> float:
    """Intersection over union of the box round a mask and a drawn box (6,)."""
    if found is None:
        return 0.0
    low, last = (torch.tensor(corner).double() for corner in found)
    drawn_low, drawn_last = drawn.double().reshape(2, 3)
    sides = torch.minimum(last, drawn_last) - torch.maximum(low, drawn_low) + 1
    common = sides.clamp(min=0).prod()
    volumes = (last - low + 1).prod() + (drawn_last - drawn_low + 1).prod()
    return float(common / (volumes - common))
