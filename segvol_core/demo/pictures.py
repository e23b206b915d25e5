"""Pictures of several slices, every millimetre of the same length."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from segvol_core.demo.body import body_box
from segvol_core.demo.slices import (
    LEVEL_HU,
    WINDOW_HU,
    Finding,
    Panel,
    Plane,
    draw_panel,
    upright_mask,
)
from segvol_core.evaluation.label_prompts import deepest_voxel
from segvol_core.evaluation.metrics import Mask
from segvol_core.volume import Volume

_DOTS_PER_INCH = 100
_MM_PER_INCH = 75.0
_GAP, _HEAD, _FOOT, _TITLE_LINE = 0.04, 0.38, 0.3, 0.2  # inches

_KEY = (
    "coloured: segment   white dashes: reference label   cross: click   rectangle: box   "
    f"CT window {WINDOW_HU}, level {LEVEL_HU} HU   not for clinical use"
)


def picture_of_finding(volume: Volume, finding: Finding) -> Figure:
    """Three slices through the middle of a segment (of its label, if it is empty)."""
    shown = finding.mask if finding.mask.any() else finding.label
    middle = middle_voxel(volume, shown)
    panels = [Panel(plane, int(middle[plane.value]), [finding]) for plane in Plane]
    return picture(volume, [panels], f"{finding.name}: {finding.caption}")


def picture(volume: Volume, rows: Sequence[Sequence[Panel]], title: str) -> Figure:
    """Rows of slices, cropped to the patient's body.

    Parameters
    ----------
    volume
        The CT in Hounsfield units.
    rows
        Rows of panels, all of one length; titles only in the first.
    title
        A line above the slices.
    """
    body_mm = body_box(volume.canonical())
    size = (body_mm[1] - body_mm[0]) / _MM_PER_INCH
    widths = [
        max(size[panel.plane.columns] for panel in column) for column in zip(*rows, strict=True)
    ]
    heights = [max(size[panel.plane.rows] for panel in row) for row in rows]
    titled = max(len(panel.title.splitlines()) for panel in rows[0]) * _TITLE_LINE
    width = sum(widths) + _GAP * (len(widths) + 1)
    height = sum(heights) + _GAP * (len(heights) + 1) + _HEAD + _FOOT + titled
    figure = Figure(figsize=(width, height), dpi=_DOTS_PER_INCH, facecolor="black")
    bottom = height - _HEAD - titled
    for row, row_height in zip(rows, heights, strict=True):
        left = _GAP
        bottom -= row_height + _GAP
        for panel, panel_width in zip(row, widths, strict=True):
            axes = figure.add_axes(
                (left / width, bottom / height, panel_width / width, row_height / height)
            )
            draw_panel(axes, volume, panel, body_mm)
            left += panel_width + _GAP
    figure.text(0.012, 1 - 0.1 / height, title, va="top", color="white", fontsize=13)
    figure.text(0.012, 0.09 / height, _KEY, va="bottom", color="white", fontsize=9)
    return figure


def save_picture(path: Path, figure: Figure) -> None:
    """Write a picture as PNG."""
    figure.savefig(path, format="png")


def middle_voxel(volume: Volume, mask: Mask) -> NDArray[np.int64]:
    """Index (z, y, x) in the upright volume of the voxel deepest inside a mask (k, j, i)."""
    upright = upright_mask(volume, mask)
    return deepest_voxel(upright.voxels > 0, upright.spacing_zyx.tolist())


def fullest_slice(volume: Volume, masks: Sequence[Mask], plane: Plane) -> int:
    """The slice on which most is seen of several segments, each measured by its largest slice."""
    others = tuple(axis for axis in range(3) if axis != plane.value)
    areas = [upright_mask(volume, mask).voxels.sum(axis=others, dtype=np.int64) for mask in masks]
    return int(np.argmax(sum(area / max(1, area.max()) for area in areas)))
