"""Random windows of a case: geometry and grey values change, image and labels stay together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from segvol_core.model.config import Size3
from segvol_core.training import published_augmentation as published
from segvol_core.training.cases import TrainingCase
from segvol_core.training.contrast_medium import ContrastMedium

FloatArray = npt.NDArray[np.float64]
Positions = tuple[Tensor, Tensor, Tensor]
"""Where a window's voxels lie in the overview, in its voxels, one axis (z, y, x) each."""
GreyValues = Literal["scanners", "published"]
Windows = Literal["structures", "published"]


@dataclass(frozen=True)
class Geometry:
    """Where a window lies in a prepared image.

    Attributes
    ----------
    indices
        (3, D, H, W) continuous image indices (z, y, x) of the window's voxels.
    nearest
        Whether grey values are those of the nearest voxel, as zooming out does, or interpolated.
    """

    indices: Tensor
    nearest: bool


@dataclass(frozen=True)
class Overview:
    """A volume, or a part of it, in one window, its geometry changed.

    Attributes
    ----------
    window
        Size (D, H, W) of the window.
    centre
        Image index (z, y, x) at the window's middle.
    matrix
        (3, 3) from overview voxels to image voxels.
    step
        Image voxels (z, y, x) per overview voxel before the changes.
    elastic
        (3, ...) displacements in image voxels on a coarse grid over the window.
    flipped
        Axes (z, y, x) that run backwards.
    """

    window: Size3
    centre: FloatArray
    matrix: FloatArray
    step: FloatArray
    elastic: Tensor
    flipped: tuple[bool, bool, bool]

    def zoomed_out(self) -> Geometry:
        """The whole of it in one window."""
        return Geometry(self._indices_at([torch.arange(n).float() for n in self.window]), True)

    def zoomed_in(self, middle: FloatArray) -> tuple[Geometry, Positions]:
        """A window at the image's own voxel size round an overview voxel (z, y, x).

        Like the windows of inference it stays inside the overview, or has it in its middle. The
        positions are those of the window's voxels in the overview.
        """
        positions = []
        for n, step, wanted in zip(self.window, self.step, middle, strict=True):
            reach = (n - 1) / 2 / step
            low, high = reach, n - 1 - reach
            place = (n - 1) / 2 if low > high else float(np.clip(wanted, low, high))
            positions.append(place + (torch.arange(n).float() - (n - 1) / 2) / float(step))
        return Geometry(self._indices_at(positions), False), tuple(positions)  # type: ignore[return-value]

    def _indices_at(self, positions: Sequence[Tensor]) -> Tensor:
        shape = [len(axis) for axis in positions]
        middle = [axis - (n - 1) / 2 for axis, n in zip(positions, self.window, strict=True)]
        grid = torch.stack(torch.meshgrid(*middle, indexing="ij")).flatten(1)
        indices = (torch.from_numpy(self.matrix).float() @ grid).view(3, *shape)
        if self.elastic.any():
            indices = indices + at_positions(self.elastic[None], positions, self.window)[0]
        return indices + torch.from_numpy(self.centre).float()[:, None, None, None]


@dataclass(frozen=True)
class Strength:
    """How far geometry is changed; the defaults are those of the starter's recipe.

    Attributes
    ----------
    scale
        Each axis is stretched by a factor between 1 / scale and scale.
    rotation
        Largest angle in radians about each axis.
    shear
        Largest shear.
    elastic
        Largest elastic displacement, as a part of the window.
    flips
        Probability with which each axis (z, y, x) is turned round.
    smallest_part
        Each axis of the volume is shown at least to this part, which stands for a smaller scan.
    grey_values
        As other scanners and patients have them, or changed as published.
    windows
        Near a structure, each as often as another; or round a random voxel, as published.
    contrast_medium
        In windows of the region network and of the name network, or never.
    """

    scale: float = 1.35
    rotation: float = 0.25
    shear: float = 0.1
    elastic: float = 0.03
    flips: tuple[float, float, float] = (0.0, 0.0, 0.0)
    smallest_part: float = 0.5
    grey_values: GreyValues = "scanners"
    windows: Windows = "structures"
    contrast_medium: ContrastMedium | None = None


PUBLISHED = Strength(
    scale=1.0,
    rotation=0.0,
    shear=0.0,
    elastic=0.0,
    flips=(published.FLIP, published.FLIP, published.FLIP),
    smallest_part=1.0,
    grey_values="published",
    windows="published",
)
"""What the published training does (``published_augmentation.py``)."""

NONE = Strength(scale=1.0, rotation=0.0, shear=0.0, elastic=0.0)
"""No change: validation."""

_ELASTIC_GRID = (3, 4, 4)
_TISSUE = 0.05
"""Grey value under which it is air, which is as dark in every scanner."""
_SMOOTHING = (1, 1, 1)


def draw_overview(
    shape: Size3, window: Size3, strength: Strength, rng: np.random.Generator, smallest_part: float
) -> Overview:
    """The whole volume, or a random part of it, in one window.

    Parameters
    ----------
    shape
        Shape of the prepared image.
    smallest_part
        Each axis shows at least this part of the volume, which stands for a smaller scan.
    """
    size = np.array(shape, dtype=float)
    extent = size.copy()
    for axis in range(3):
        if rng.random() < 0.6:
            extent[axis] *= rng.uniform(smallest_part, 1.0)
    low = rng.uniform(0, 1, 3) * (size - extent)
    step = extent / np.array(window)
    common = rng.uniform(-1, 1)
    stretch = strength.scale ** (0.6 * common + 0.4 * rng.uniform(-1, 1, 3))
    flipped = tuple(bool(rng.random() < p) for p in strength.flips)
    sign = np.where(flipped, -1.0, 1.0)
    matrix = rotation(rng.uniform(-1, 1, 3) * strength.rotation)
    matrix = matrix @ (np.eye(3) + rng.uniform(-1, 1, (3, 3)) * strength.shear * (1 - np.eye(3)))
    coarse = torch.from_numpy(rng.uniform(-1, 1, (3, *_ELASTIC_GRID))).float()
    reach = torch.from_numpy(strength.elastic * rng.random() * extent).float()
    return Overview(
        window=window,
        centre=low + extent / 2 - 0.5,
        matrix=matrix * (step * stretch * sign)[None, :],
        step=step,
        elastic=coarse * reach[:, None, None, None],
        flipped=flipped,  # type: ignore[arg-type]
    )


def at_positions(values: Tensor, positions: Sequence[Tensor], window: Size3) -> Tensor:
    """Values (n, channels, ...) spread over a window, interpolated at voxel positions per axis.

    The outer values lie on the window's outer voxels; beyond them they go on unchanged.
    """
    axes = [
        axis.to(values) * (2 / max(n - 1, 1)) - 1 for axis, n in zip(positions, window, strict=True)
    ]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    grid = torch.stack([x, y, z], dim=-1).expand(len(values), -1, -1, -1, -1)
    return F.grid_sample(values, grid, padding_mode="border", align_corners=True)


def rotation(angles: FloatArray) -> FloatArray:
    """Matrix (3, 3) that turns about each of the axes (z, y, x) by an angle in radians."""
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        a, b = [other for other in range(3) if other != axis]
        turn = np.eye(3)
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ turn
    return matrix


def sample_image(image: Tensor, geometry: Geometry) -> Tensor:
    """Grey values (D, H, W) of a window; 0 outside the volume."""
    if geometry.nearest:
        return _nearest(image, geometry.indices, 0).float()
    return _linear(image, geometry.indices)


def sample_labels(labels: Tensor, geometry: Geometry) -> Tensor:
    """Labels (D, H, W) of a window, nearest voxel; 0 outside the volume."""
    return _nearest(labels, geometry.indices, 0)


def sample_regions(case: TrainingCase, geometry: Geometry) -> Tensor:
    """Pseudo-labels (D, H, W) of a window, nearest coarse voxel."""
    scale = torch.tensor(case.regions.scale)[:, None, None, None]
    offset = torch.tensor(case.regions.offset)[:, None, None, None]
    return _nearest(case.regions.regions, geometry.indices * scale + offset, 0)


def smooth_region(regions: Tensor, region: int) -> npt.NDArray[np.bool_]:
    """One pseudo-label of a window (D, H, W) without the steps of its coarse voxels."""
    mask = np.asarray(regions == region)
    boxes = ndimage.find_objects(mask.astype(np.uint8))
    if not boxes:
        return mask
    grown = tuple(
        slice(max(0, axis.start - reach), axis.stop + reach)
        for axis, reach in zip(boxes[0], _SMOOTHING, strict=True)
    )
    size = [2 * reach + 1 for reach in _SMOOTHING]
    part = ndimage.uniform_filter(mask[grown].astype(np.float32), size, mode="nearest")
    mask[grown] = part > 0.5
    return mask


def inject(
    image: Tensor,
    case: TrainingCase,
    labels: Tensor,
    medium: ContrastMedium | None,
    rng: np.random.Generator,
) -> Tensor:
    """Grey values (D, H, W) of a window of a case, now and then as contrast medium changes them."""
    if medium is None or rng.random() >= medium.share:
        return image
    known = case.label_values
    values = {name: case.values_of(value) for name, value in known.items()}
    return medium.inject(image, labels, values, rng)


def change_grey_values(
    image: Tensor, rng: np.random.Generator, kind: GreyValues = "scanners"
) -> Tensor:
    """Contrast, brightness, gamma, blur and noise of another scanner and another patient.

    ``"published"`` changes contrast and brightness alone, now and then.
    """
    if kind == "published":
        return published.change_grey_values(image, rng)
    gain, shift = float(np.exp(rng.uniform(-0.1, 0.1))), float(rng.uniform(-0.04, 0.04))
    image = torch.where(image > _TISSUE, image * gain + shift, image).clamp(0, 1)
    if rng.random() < 0.3:
        image = image ** float(np.exp(rng.uniform(-0.15, 0.15)))
    if rng.random() < 0.25:
        image = F.avg_pool3d(image[None, None], 3, stride=1, padding=1, count_include_pad=False)[
            0, 0
        ]
    if rng.random() < 0.4:
        seed = int(rng.integers(2**31))
        noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(seed))
        image = (image + noise * float(rng.uniform(0, 0.03))).clamp(0, 1)
    return image


def _nearest(values: Tensor, indices: Tensor, outside: int) -> Tensor:
    z, y, x = torch.floor(indices + 0.5).int()
    depth, height, width = values.shape
    inside = (z >= 0) & (z < depth) & (y >= 0) & (y < height) & (x >= 0) & (x < width)
    flat = ((z * height + y) * width + x).masked_fill_(~inside, 0)
    found = values.reshape(-1).index_select(0, flat.flatten()).view(flat.shape)
    return found.masked_fill(~inside, outside)


def _linear(values: Tensor, indices: Tensor) -> Tensor:
    flat = indices.flatten(1)
    low = [max(0, int(least) - 1) for least in flat.amin(1)]
    high = [min(n, int(most) + 3) for most, n in zip(flat.amax(1), values.shape, strict=True)]
    if any(a >= b for a, b in zip(low, high, strict=True)):
        return torch.zeros(indices.shape[1:])
    part = values[tuple(slice(a, b) for a, b in zip(low, high, strict=True))].float()
    grid = torch.empty(1, *indices.shape[1:], 3)
    for column, axis in enumerate((2, 1, 0)):
        size = part.shape[axis]
        # grid_sample counts from -1 to 1 between the outer sides of the first and last voxel.
        grid[0, ..., column] = indices[axis] * (2 / size) + ((1 - 2 * low[axis]) / size - 1)
    return F.grid_sample(part[None, None], grid, align_corners=False)[0, 0]
