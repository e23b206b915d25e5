"""From Hounsfield units to what the network sees, and back from its grid to the volume's.

The steps and their order are the published ones (``SegVol/data_process/demo_data_process.py``):
foreground normalisation, min-max, zero padding up to the window, cropping to what is not zero.
A network with a ``spacing_mm`` of its own gets the volume resampled to that spacing in between.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from segvol_core.errors import VolumeError
from segvol_core.model.config import SegVolConfig, Size3

LOW_PERCENTILE, HIGH_PERCENTILE = 0.05, 99.95
"""Percentiles of the foreground to which a volume is clipped (published code)."""

_FAR_BELOW_ZERO = -1e4


@dataclass(frozen=True)
class PreparedVolume:
    """A volume as the network sees it; all axes in the order (z, y, x), RAS+.

    Attributes
    ----------
    image
        (D, H, W) float32 in [0, 1], at least as large as the window.
    shape
        Shape of the canonical volume it was made from.
    scale, offset
        Per axis: the index in ``image`` of the canonical index i is
        ``(i + 0.5) * scale - 0.5 + offset``.
    """

    image: Tensor
    shape: Size3
    scale: tuple[float, float, float]
    offset: tuple[float, float, float]

    def image_index(self, canonical_index: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Continuous index in ``image`` of canonical voxel indices (…, 3)."""
        index = np.asarray(canonical_index, dtype=np.float64)
        return (index + 0.5) * np.array(self.scale) - 0.5 + np.array(self.offset)

    def restore(self, logits: Tensor) -> npt.NDArray[np.bool_]:
        """Mask on the canonical volume, of shape ``shape``, where logits on ``image`` exceed 0.

        Between the voxels of a resampled image, logits are interpolated linearly, so that the mask
        is smooth at the volume's own resolution.
        """
        mask = np.zeros(self.shape, dtype=bool)
        foreground = bounding_box(logits > 0)
        if foreground is None:
            return mask
        # A mask can reach less than one voxel of the image beyond its last positive voxel.
        target: list[slice] = []
        region = logits
        for axis, (low, high) in enumerate(zip(*foreground, strict=True)):
            scale, offset, size = self.scale[axis], self.offset[axis], self.shape[axis]
            first = max(0, int(np.floor((low - 1 - offset + 0.5) / scale - 0.5)))
            last = min(size - 1, int(np.ceil((high + 1 - offset + 0.5) / scale - 0.5)))
            if last < first:
                return mask
            target.append(slice(first, last + 1))
            positions = (np.arange(first, last + 1) + 0.5) * scale - 0.5 + offset
            region = _interpolate_axis(region, axis, positions)
        mask[tuple(target)] = (region > 0).cpu().numpy()
        return mask


def prepare(
    canonical_voxels: npt.NDArray[np.generic],
    spacing_zyx: tuple[float, float, float],
    config: SegVolConfig,
) -> PreparedVolume:
    """Normalise, resample if the network wants it, pad to the window and crop.

    Parameters
    ----------
    canonical_voxels
        (z, y, x) Hounsfield units, z towards the head, y to the front, x to the patient's right
        (RAS+).
    spacing_zyx
        Voxel size in mm.
    config
        The network's window and spacing.

    Raises
    ------
    VolumeError
        If all voxels are equal.
    """
    normalised = torch.from_numpy(normalise(canonical_voxels))
    shape = _size3(normalised.shape)
    resampled = normalised
    if config.spacing_mm is not None:
        resampled = resample(normalised, _resampled_shape(shape, spacing_zyx, config.spacing_mm))
    scale = tuple(n / m for n, m in zip(resampled.shape, shape, strict=True))
    padded, before = pad_to(resampled, config.window)
    found = bounding_box(padded > 0)
    if found is None:
        raise VolumeError("All voxels of the volume are equal: there is nothing to segment.")
    low, high = found
    image = padded[tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))].contiguous()
    offset = tuple(float(b - a) for b, a in zip(before, low, strict=True))
    return PreparedVolume(image, shape, scale, offset)  # type: ignore[arg-type]


def normalise(voxels: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    """Foreground normalisation of the published code, then min-max to [0, 1].

    Foreground is what exceeds the mean of all voxels. The volume is clipped to percentiles of the
    foreground, standardised by its mean and deviation, and stretched to [0, 1]; the
    standardisation cancels in the stretching but for rounding, so it is left out.

    Raises
    ------
    VolumeError
        If all voxels are equal.
    """
    values = voxels.astype(np.float32)
    foreground = values[values > values.mean(dtype=np.float64)]
    if foreground.size == 0:
        raise VolumeError("All voxels of the volume are equal: there is nothing to segment.")
    low, high = np.percentile(foreground, [LOW_PERCENTILE, HIGH_PERCENTILE])
    if low < high:  # else the volume has two grey values, and clipping would leave one
        np.clip(values, low, high, out=values)
    low, high = values.min(), values.max()
    values -= low
    values /= high - low
    return values


def zoom_out(image: Tensor, window: Size3) -> Tensor:
    """The whole image (D, H, W) in one window, by ``nearest-exact`` as published."""
    return F.interpolate(image[None, None], size=window, mode="nearest-exact")[0, 0]


def resample(image: Tensor, shape: Size3) -> Tensor:
    """Image (D, H, W) at another shape over the same extent, linear, without aliasing."""
    depth, height, width = shape
    in_plane = F.interpolate(
        image[:, None], size=(height, width), mode="bilinear", antialias=True, align_corners=False
    )
    columns = in_plane.reshape(1, 1, image.shape[0], height * width)
    through = F.interpolate(
        columns,
        size=(depth, height * width),
        mode="bilinear",
        antialias=True,
        align_corners=False,
    )
    return through.reshape(depth, height, width)


def pad_to(image: Tensor, window: Size3) -> tuple[Tensor, Size3]:
    """Zeros around an image that is smaller than the window, and how many come before each axis."""
    missing = [max(w - n, 0) for w, n in zip(window, image.shape, strict=True)]
    before = [m // 2 for m in missing]
    widths = [(b, m - b) for b, m in zip(before, missing, strict=True)]
    padding = [side for pair in reversed(widths) for side in pair]
    return F.pad(image, padding), _size3(before)


def bounding_box(mask: Tensor) -> tuple[Size3, Size3] | None:
    """First and last index (inclusive) of what is true in (D, H, W), or None where nothing is."""
    low, high = [], []
    for axis in range(3):
        others = [other for other in range(3) if other != axis]
        present = mask.any(dim=others[1]).any(dim=others[0])
        indices = torch.nonzero(present)
        if indices.numel() == 0:
            return None
        low.append(int(indices[0]))
        high.append(int(indices[-1]))
    return _size3(low), _size3(high)


def _resampled_shape(
    shape: Size3, spacing: tuple[float, float, float], target: tuple[float, float, float]
) -> Size3:
    return _size3(
        [max(1, round(n * s / t)) for n, s, t in zip(shape, spacing, target, strict=True)]
    )


def _interpolate_axis(values: Tensor, axis: int, positions: npt.NDArray[np.float64]) -> Tensor:
    """Values at continuous positions of one axis; beyond the image nothing is foreground."""
    size = values.shape[axis]
    below = np.floor(positions)
    weight = torch.from_numpy((positions - below).astype(np.float32)).to(values.device)
    index = torch.from_numpy(below.astype(np.int64)).to(values.device)
    if bool((positions == below).all()) and below[0] >= 0 and below[-1] < size:
        return values.index_select(axis, index)
    view = [1, 1, 1]
    view[axis] = -1
    first = values.index_select(axis, index.clamp(0, size - 1))
    second = values.index_select(axis, (index + 1).clamp(0, size - 1))
    mixed = torch.lerp(first, second, weight.view(view))
    outside = torch.from_numpy((positions < -0.5) | (positions > size - 0.5)).to(values.device)
    return mixed.masked_fill(outside.view(view), _FAR_BELOW_ZERO)


def _size3(values: torch.Size | list[int]) -> Size3:
    z, y, x = (int(value) for value in values)
    return z, y, x
