"""Which windows zoom-in looks at for a prompt, and what it asks in each of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from segvol_core import zoom
from segvol_core.model.config import SegVolConfig, Size3
from segvol_core.preprocessing import bounding_box
from segvol_core.zoom import ImagePrompt, Placement, Region, Window


@dataclass(frozen=True)
class WindowPrompt:
    """What the network is asked in one window, as :meth:`SegVol.decode` takes it."""

    points: tuple[Tensor, Tensor] | None
    box: Tensor | None
    coarse: Tensor | None = None
    drawn_box: Tensor | None = None


@dataclass(frozen=True)
class Plan:
    """Where to zoom in, and the windows of that region with what is asked in them."""

    region: Region
    prompts: dict[Window, WindowPrompt]


class Planner:
    """Plans zoom-in on one image.

    Parameters
    ----------
    config
        Of the network, which may look at coarse logits and at the box as it was drawn.
    shape
        Of the prepared image.
    placement
        ``"lattice"`` or ``"published"`` windows.
    """

    def __init__(self, config: SegVolConfig, shape: Size3, placement: Placement) -> None:
        self._window = config.window
        self._shape = shape
        self._placement = placement
        self._sees_coarse = config.prompt_priors
        self._sees_drawn_box = bool(config.refinement_width or config.region_network_width)

    def plan(self, prompt: ImagePrompt, logits: Tensor) -> Plan | None:
        """Plan for a prompt and its coarse logits (D, H, W); None if nothing is to be looked at.

        With ``lattice`` windows what the user marked is looked at whether it was found or not.
        """
        foreground = logits > 0
        if self._placement == "lattice":
            _add_what_the_user_said(foreground, prompt)
        found = self._where_to_look(foreground, prompt)
        if found is None:
            return None
        region = zoom.region_of_interest(found, self._shape, self._window)
        windows = self._windows(region, found)
        only = len(windows) == 1
        return Plan(
            region,
            {window: self._ask(prompt, window, logits, foreground, only) for window in windows},
        )

    def coarse_in(self, window: Window, logits: Tensor) -> Tensor | None:
        """Coarse logits in a window (1, D, H, W), for networks that look at them."""
        return window.cut_from(logits, zoom.OUTSIDE_LOGIT)[None] if self._sees_coarse else None

    def _where_to_look(self, foreground: Tensor, prompt: ImagePrompt) -> tuple[Size3, Size3] | None:
        """First and last voxel of what is looked at closer, or None if nothing was found.

        Where a network is shown the drawn box when zooming in, it looks at all of it and at the
        clicks, and nowhere else.
        """
        if self._placement == "published" or not self._sees_drawn_box or prompt.box is None:
            return bounding_box(foreground)
        return zoom.bounds(torch.cat([torch.tensor(prompt.box), prompt.positive]))

    def _windows(self, region: Region, found: tuple[Size3, Size3]) -> list[Window]:
        if self._placement == "published":
            return zoom.published_windows(region, self._window)
        low, last = found
        tight = Region(low, (last[0] + 1, last[1] + 1, last[2] + 1))
        return zoom.lattice_cover(tight, self._shape, self._window)

    def _ask(
        self, prompt: ImagePrompt, window: Window, logits: Tensor, foreground: Tensor, only: bool
    ) -> WindowPrompt:
        coarse = self.coarse_in(window, logits)
        if not len(prompt.points) and prompt.box is None:
            return WindowPrompt(None, None, coarse)
        box = zoom.box_in_window(prompt, window, foreground, only_window=only)
        points = None
        if len(prompt.points):
            points = zoom.points_in_window(prompt, window, self._shape, self._window)
        drawn = prompt.box and zoom.box_relative_to(prompt.box, window.extent.low)
        return WindowPrompt(points, box, coarse, drawn)


def _add_what_the_user_said(foreground: Tensor, prompt: ImagePrompt) -> None:
    """Zoom in on every positive click, and on a box in which nothing was found."""
    if prompt.box is not None and not foreground.any():
        foreground[tuple(slice(a, b + 1) for a, b in zip(*prompt.box, strict=True))] = True
    for z, y, x in prompt.positive.tolist():
        foreground[z, y, x] = True
