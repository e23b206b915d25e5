"""Answers to boxes and clicks: all that is looked at closer, at once, in one network.

Not part of the published procedure: for networks with ``config.region_network_width``. It takes the
place of windows where nothing but a box and clicks is said, and for what a name network finds;
where both are given, the logits are the mean of both answers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from segvol_core import zoom
from segvol_core.meant_parts import leave_out_what_is_apart
from segvol_core.model.config import Size3
from segvol_core.model.region_network import RegionNetwork
from segvol_core.preprocessing import bounding_box
from segvol_core.zoom import OUTSIDE_LOGIT, ImagePrompt, Region, Window

_LARGEST_REGION = 600_000
"""Voxels that are seen at once; 800 000 would take 1.4 s on one core of an AMD EPYC."""
_LEAST_OF_A_BOX, _USUAL_PART_OF_A_BOX = 0.015, 0.15
"""Of 61 structures of the labelled trunk none fills less of its box, and half fill so much."""
_LEAST_REACH = 0.5
"""Of a box; one drawn 10 % too large on each side is twice as large as the box round its mask."""
_THRESHOLDS_IN_A_BOX = (0.0, -0.25, -0.5, -0.75, -1.0, -1.5, -2.0, -2.5, -3.0, -4.0)
_RAISED_FOR_ONE_CLICK = 1.0
"""What a single click means is so uncertain that masks come out too small; not so with several."""
_SURE_LOGIT = 1.0
"""After 300 steps on twenty cases answers to clicks do not reach it; the starter's all do."""
_LOOKS = 4
"""At most, of which each but the first is at a larger region round a click."""
_GROWTH = 2
"""By half a window on each side at which what was found is cut off."""


@dataclass(frozen=True)
class RegionAnswer:
    """What was answered, and where.

    Attributes
    ----------
    part
        Of the image.
    logits
        (d, h, w) of that part.
    box
        That was drawn, if one was: first and last voxel.
    sure
        Whether windows cannot do better: a box is drawn, or the network is sure of something, which
        one that has learnt little is not.
    """

    part: Region
    logits: Tensor
    box: tuple[Size3, Size3] | None
    sure: bool


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
    device
        Where the network is.
    """

    def __init__(
        self, network: RegionNetwork, image: Tensor, window: Size3, device: torch.device
    ) -> None:
        self._network = network
        self._image = image
        self._shape: Size3 = (image.shape[0], image.shape[1], image.shape[2])
        self._window = window
        self._device = device

    def can_answer(self, prompt: ImagePrompt) -> bool:
        """Whether a prompt has a box or a positive click, and what it marks can be seen at once."""
        marked = _marked(prompt)
        return len(marked) > 0 and self._fits(self._region_round(marked))

    def looks(self, prompt: ImagePrompt) -> Iterator[RegionAnswer]:
        """Answer a prompt of which :meth:`can_answer` holds, without regard to its text.

        A box is seen with a margin. Round clicks alone the region begins with the window's size and
        is made larger as long as what is found reaches its border, with an answer each time; what
        nothing joins to a click is left out.
        """
        marked = _marked(prompt)
        found = self._look(prompt, self._region_round(marked))
        if prompt.box is not None:
            _fill_the_box(found, prompt.box)
            yield found
            return
        leave_out_what_is_apart(prompt.positive, found.part.low, found.logits)
        yield found
        for _ in range(1, _LOOKS):
            reached = self._beyond(found)
            if reached is None:
                return
            region = self._region_round(torch.cat([marked, reached]))
            if not self._fits(region):
                return
            found = self._look(prompt, region)
            leave_out_what_is_apart(prompt.positive, found.part.low, found.logits)
            yield found

    def refined(self, coarse: Tensor) -> RegionAnswer | None:
        """What a coarse mask of logits (D, H, W) becomes; None if it cannot be seen at once."""
        bounds = bounding_box(coarse > 0)
        if bounds is None:
            return None
        region = self._region_round(torch.tensor(bounds))
        if not self._fits(region):
            return None
        logits = region.cut_from(coarse, OUTSIDE_LOGIT)[None].to(self._device)
        return self._ask(region, None, coarse=logits)

    def _region_round(self, marked: Tensor) -> Window:
        bounds = zoom.bounds(marked)
        return zoom.region_at_once(bounds, self._shape, self._window, self._network.step)

    def _fits(self, region: Window) -> bool:
        return math.prod(region.extent.size) <= _LARGEST_REGION

    def _look(self, prompt: ImagePrompt, region: Window) -> RegionAnswer:
        points, box = None, None
        if len(prompt.points):
            places = prompt.points - torch.tensor(region.extent.low)
            points = (
                places.float()[None].to(self._device),
                prompt.labels.float()[None].to(self._device),
            )
        if prompt.box is not None:
            box = zoom.box_relative_to(prompt.box, region.extent.low).to(self._device)
        found = self._ask(region, prompt.box, points=points, boxes=box)
        if prompt.box is None and len(prompt.points) == 1:
            found.logits.add_(_RAISED_FOR_ONE_CLICK)
        return found

    def _ask(
        self, region: Window, drawn: tuple[Size3, Size3] | None, **prompt: Any
    ) -> RegionAnswer:
        with torch.inference_mode():
            logits = self._network.answer(
                region.cut_from(self._image)[None].to(self._device), **prompt
            )[0].cpu()
        shown = region.content.relative_to(region.extent.low).slices
        logits = logits[shown].clone()
        sure = drawn is not None or bool((logits > _SURE_LOGIT).any())
        return RegionAnswer(region.content, logits, drawn, sure)

    def _beyond(self, found: RegionAnswer) -> Tensor | None:
        """Voxels (2, 3) to which a larger region should reach, or None if none is needed."""
        bounds = bounding_box(found.logits > 0)
        if bounds is None:
            return None
        first, last = (torch.tensor(each) + torch.tensor(found.part.low) for each in bounds)
        beginning, end = torch.tensor(found.part.low), torch.tensor(found.part.high) - 1
        final = torch.tensor(self._shape) - 1
        cut_before = (first <= beginning) & (beginning > 0)
        cut_after = (last >= end) & (end < final)
        if not (cut_before | cut_after).any():
            return None
        more = torch.tensor(self._window) // _GROWTH
        first = torch.where(cut_before, first - more, first).clamp(min=0)
        last = torch.minimum(torch.where(cut_after, last + more, last), final)
        return torch.stack([first, last])


def hear_also(logits: Tensor, answer: RegionAnswer) -> None:
    """Make logits (D, H, W) of a prompt with a name the mean with another answer, in place.

    Somebody who draws a box says how far the structure reaches: the first answer counts as much
    as its mask fills the box, and outside the region nothing is as likely as it says.
    """
    part = answer.part.slices
    trust = 1.0 if answer.box is None else _overlap(bounding_box(logits > 0), answer.box) ** 2
    mean = (trust * logits[part] + answer.logits) / (trust + 1)
    if answer.box is not None:
        logits.mul_(trust).add_(OUTSIDE_LOGIT).div_(trust + 1)
    logits[part] = mean


def _marked(prompt: ImagePrompt) -> Tensor:
    """Voxels (n, 3) that belong to what a prompt is about: corners of its box, and clicks."""
    if prompt.box is None:
        return prompt.positive
    return torch.cat([torch.tensor(prompt.box), prompt.positive])


def _fill_the_box(found: RegionAnswer, drawn: tuple[Size3, Size3]) -> None:
    """Raise logits in a drawn box, in place, as long as their mask reaches too little of it.

    Who draws a box draws it round something: a mask with a much smaller box of its own is a part of
    it. Where there would be next to nothing, what is likeliest becomes the mask first.
    """
    low, last = drawn
    box = Region(low, (last[0] + 1, last[1] + 1, last[2] + 1)).clipped_to(found.part)
    inside = found.logits[box.relative_to(found.part.low).slices]
    if not inside.numel():
        return
    if float((inside > 0).float().mean()) < _LEAST_OF_A_BOX:
        inside.sub_(torch.quantile(inside.flatten(), 1 - _USUAL_PART_OF_A_BOX))
    for threshold in _THRESHOLDS_IN_A_BOX:
        if _reach(inside > threshold) >= _LEAST_REACH:
            inside.sub_(threshold)
            return


def _reach(mask: Tensor) -> float:
    """Volume of the box round a mask, as a part of what the mask is in."""
    bounds = bounding_box(mask)
    if bounds is None:
        return 0.0
    return math.prod(last - first + 1 for first, last in zip(*bounds, strict=True)) / mask.numel()


def _overlap(found: tuple[Size3, Size3] | None, drawn: tuple[Size3, Size3]) -> float:
    """Intersection over union of the box round a mask and a drawn box."""
    if found is None:
        return 0.0
    low, last = (torch.tensor(corner).double() for corner in found)
    drawn_low, drawn_last = (torch.tensor(corner).double() for corner in drawn)
    sides = torch.minimum(last, drawn_last) - torch.maximum(low, drawn_low) + 1
    common = sides.clamp(min=0).prod()
    volumes = (last - low + 1).prod() + (drawn_last - drawn_low + 1).prod()
    return float(common / (volumes - common))
