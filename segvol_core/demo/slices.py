"""One slice of a CT with segments and prompts on it, as radiologists look at it.

Slices are taken along the volume's nearest RAS axes. The patient's right is on the left of the
picture, in sagittal slices the front is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.patheffects import AbstractPathEffect, withStroke
from numpy.typing import NDArray

from segvol_core.evaluation.metrics import Mask
from segvol_core.prompts import Prompts, place
from segvol_core.volume import CanonicalVolume, Volume

WINDOW_HU, LEVEL_HU = 400, 40
"""The usual window for the abdomen: -160 to 240 HU."""

_CLICK_REACH_MM = 5.0
"""A click is drawn on slices up to so far from it."""

_BAR_MM = 50
_AROUND_TEXT: list[AbstractPathEffect] = [withStroke(linewidth=2.5, foreground="black")]
_AROUND_DASHES: list[AbstractPathEffect] = [withStroke(linewidth=1.8, foreground="black")]
_DASHES = (0, (3, 2))

_ENDS = (("I", "S"), ("P", "A"), ("L", "R"))
"""Where the axes z, y and x begin and end."""


class Plane(Enum):
    """A direction of slices; the value is the axis of (z, y, x) that they are taken along."""

    AXIAL = 0
    CORONAL = 1
    SAGITTAL = 2

    @property
    def rows(self) -> int:
        """Axis of (z, y, x) that points up in the picture."""
        return 1 if self is Plane.AXIAL else 0

    @property
    def columns(self) -> int:
        """Axis of (z, y, x) that points to the left of the picture."""
        return 1 if self is Plane.SAGITTAL else 2


@dataclass(frozen=True, eq=False)
class Finding:
    """A segment to be shown.

    Attributes
    ----------
    name, caption
        What it is, and what there is to say of it.
    color
        Red, green, blue, 0 to 255.
    mask, label
        The answer and what it is compared with, (k, j, i).
    prompts
        What was said.
    """

    name: str
    caption: str
    color: tuple[int, int, int]
    mask: Mask
    label: Mask
    prompts: Prompts


@dataclass(frozen=True, eq=False)
class Panel:
    """One slice in a picture: of which direction, through which voxel, with which findings."""

    plane: Plane
    index: int
    findings: Sequence[Finding]
    title: str = ""


def draw_panel(axes: Axes, volume: Volume, panel: Panel, crop_mm: NDArray[np.float64]) -> None:
    """Draw a slice with its findings.

    Parameters
    ----------
    axes
        Where to draw, in millimetres from the corner of the volume's first upright voxel.
    volume
        The CT in Hounsfield units.
    panel
        What to draw.
    crop_mm
        First and last corner (z, y, x) of what is shown, shape (2, 3).
    """
    upright, plane = volume.canonical(), panel.plane
    row_mm, column_mm = upright.spacing_zyx[plane.rows], upright.spacing_zyx[plane.columns]
    slice_hu = np.take(upright.voxels, panel.index, plane.value)
    extent = (0, slice_hu.shape[1] * column_mm, 0, slice_hu.shape[0] * row_mm)
    axes.imshow(
        slice_hu,
        cmap="gray",
        vmin=LEVEL_HU - WINDOW_HU / 2,
        vmax=LEVEL_HU + WINDOW_HU / 2,
        extent=extent,
        origin="lower",
        interpolation="bilinear",
    )
    for finding in panel.findings:
        color = tuple(part / 255 for part in finding.color)
        mask = _slice_of(volume, finding.mask, panel)
        fill = np.zeros((*mask.shape, 4))
        fill[mask] = (*color, 0.45)
        axes.imshow(fill, extent=extent, origin="lower", interpolation="nearest")
        _outline(axes, mask, (row_mm, column_mm), color=color, linewidth=1.6)
        label = _slice_of(volume, finding.label, panel)
        _outline(axes, label, (row_mm, column_mm), color="white", linewidth=0.9, dashed=True)
    for finding in panel.findings:
        _draw_prompts(axes, upright, panel, finding.prompts)
    (bottom, top), (right, left) = crop_mm[:, plane.rows], crop_mm[:, plane.columns]
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    axes.set_axis_off()
    _write_directions(axes, upright, panel)
    _draw_bar(axes, left - right)
    axes.set_title(panel.title, color="white", fontsize=11, pad=6)


def upright_mask(volume: Volume, mask: Mask) -> CanonicalVolume:
    """A mask (k, j, i) in the volume's nearest RAS axes, as zeros and ones."""
    return Volume(mask.view(np.uint8), volume.ijk_to_ras).canonical()


def _slice_of(volume: Volume, mask: Mask, panel: Panel) -> Mask:
    upright = upright_mask(volume, mask)
    return np.asarray(np.take(upright.voxels, panel.index, panel.plane.value) > 0)


def _outline(
    axes: Axes,
    mask: Mask,
    spacing_mm: tuple[float, float],
    *,
    color: str | tuple[float, ...],
    linewidth: float,
    dashed: bool = False,
) -> None:
    if not mask.any():
        return
    # A border of nothing closes the outline of what the volume's edge cuts off.
    padded = np.pad(mask, 1).astype(np.float32)
    y, x = ((np.arange(n) - 0.5) * mm for n, mm in zip(padded.shape, spacing_mm, strict=True))
    lines = axes.contour(
        x,
        y,
        padded,
        [0.5],
        colors=[color],
        linewidths=linewidth,
        linestyles=[_DASHES if dashed else "solid"],
    )
    if dashed:
        lines.set_path_effects(_AROUND_DASHES)


def _draw_prompts(axes: Axes, upright: CanonicalVolume, panel: Panel, prompts: Prompts) -> None:
    depth, spacing = panel.plane.value, upright.spacing_zyx
    in_plane = [panel.plane.rows, panel.plane.columns]
    placed = place(prompts, upright)
    for point in placed.points_zyx:
        if abs(point[depth] - panel.index) * spacing[depth] <= _CLICK_REACH_MM:
            y, x = (point[in_plane] + 0.5) * spacing[in_plane]
            axes.plot(x, y, "+", color="black", markersize=17, markeredgewidth=4.5)
            axes.plot(x, y, "+", color="yellow", markersize=15, markeredgewidth=2)
    if placed.box_zyx is None:
        return
    low, high = placed.box_zyx[:3], placed.box_zyx[3:]
    if low[depth] <= panel.index <= high[depth]:
        y, x = low[in_plane] * spacing[in_plane]
        height, width = (high + 1 - low)[in_plane] * spacing[in_plane]
        rectangle = Rectangle((x, y), width, height, fill=False, edgecolor="yellow", linewidth=1.8)
        rectangle.set_path_effects(_AROUND_TEXT)
        axes.add_patch(rectangle)


def _write_directions(axes: Axes, upright: CanonicalVolume, panel: Panel) -> None:
    """Letters at the four sides, and the position of the slice in RAS."""
    below, above = _ENDS[panel.plane.rows]
    right, left = _ENDS[panel.plane.columns]
    for x, y, letter in ((0.5, 0.97, above), (0.5, 0.03, below)):
        _write(axes, x, y, letter, size=11)
    for x, y, letter in ((0.025, 0.5, left), (0.975, 0.5, right)):
        _write(axes, x, y, letter, size=11)
    centre = (np.array(upright.shape_zyx) - 1) / 2
    centre[panel.plane.value] = panel.index
    ras_mm = float(upright.ras_of_zyx(centre)[2 - panel.plane.value])
    direction = _ENDS[panel.plane.value][int(ras_mm >= 0)]
    position = f"{panel.plane.name.lower()}  {direction} {abs(ras_mm):.0f} mm"
    _write(axes, 0.015, 0.03, position, size=9, align="left")


def _draw_bar(axes: Axes, width_mm: float) -> None:
    """A bar of 5 cm in the lower right corner."""
    end = 0.985
    begin = end - _BAR_MM / width_mm
    axes.plot((begin, end), (0.02, 0.02), color="white", linewidth=2, transform=axes.transAxes)
    _write(axes, (begin + end) / 2, 0.045, f"{_BAR_MM // 10} cm", size=9)


def _write(
    axes: Axes, x: float, y: float, text: str, *, size: float, align: str = "center"
) -> None:
    """White text with a dark rim, at a place given in fractions of the panel."""
    written = axes.text(
        x,
        y,
        text,
        color="white",
        fontsize=size,
        horizontalalignment=align,
        verticalalignment="center",
        transform=axes.transAxes,
    )
    written.set_path_effects(_AROUND_TEXT)
