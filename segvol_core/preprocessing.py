"""From Hounsfield units to what the network sees, and back from its grid to the volume's.

The steps and their order are the published ones (``SegVol/data_process/demo_data_process.py``):
foreground normalisation, min-max, zero padding up to the window, cropping to what is not zero.
A network may have a ``spacing_mm`` of its own, to which the volume is resampled in between, and
``hounsfield_levels`` of its own in place of the normalisation.
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
        return np.asarray((index + 0.5) * np.array(self.scale) - 0.5 + np.array(self.offset))

    def sample(self, canonical: npt.NDArray[np.generic]) -> Tensor:
        """Labels of the canonical volume (z, y, x) at the voxels of ``image``, 0 outside it."""
        indices, inside = [], []
        for axis, size in enumerate(self.image.shape):
            index = (np.arange(size) - self.offset[axis] + 0.5) / self.scale[axis] - 0.5
            nearest = np.floor(index + 0.5).astype(int)
            inside.append((nearest >= 0) & (nearest < canonical.shape[axis]))
            indices.append(nearest.clip(0, canonical.shape[axis] - 1))
        z, y, x = inside
        found = canonical[np.ix_(*indices)]
        return torch.from_numpy(found * (z[:, None, None] & y[:, None] & x))

    def sample_mask(self, canonical: npt.NDArray[np.bool_]) -> Tensor:
        """A mask of the canonical volume on ``image``; a small one keeps at least one voxel."""
        sampled = self.sample(canonical)
        if canonical.any() and not sampled.any():
            middle = np.argwhere(canonical).mean(axis=0)
            last = np.array(self.image.shape) - 1
            sampled[tuple(np.rint(self.image_index(middle)).clip(0, last).astype(int))] = True
        return sampled

    def restore(self, logits: Tensor) -> npt.NDArray[np.bool_]:
        """Mask on the canonical volume, of shape ``shape``, where logits on ``image`` exceed 0.

        Between the voxels of a resampled image, logits are interpolated linearly, so that the mask
        is smooth at the volume's own resolution.
        """
        mask = np.zeros(self.shape, dtype=bool)
        foreground = bounding_box(logits > 0)
        if foreground is None:
            return mask
        axes = [
            _interpolation(found, logits.shape[axis], size, self.scale[axis], self.offset[axis])
            for axis, (*found, size) in enumerate(zip(*foreground, self.shape, strict=True))
        ]
        (z, in_z), (y, in_y), (x, in_x) = ((axis.target, axis.source) for axis in axes)
        region = logits[in_z, in_y, in_x]
        if all(scale == 1 for scale in self.scale):
            mask[z, y, x] = (region > 0).numpy()
            return mask
        slices = torch.tensordot(axes[0].weights, region, dims=1)
        to_columns = axes[2].weights.T.contiguous()
        for plane, found_here in zip(slices, mask[z, y, x], strict=True):
            rows = (axes[1].weights @ plane).numpy()
            # Between two values that are not above 0 nothing is.
            kept = np.flatnonzero(rows.max(axis=1) > 0)
            enlarged = torch.from_numpy(rows[kept]) @ to_columns
            found_here[kept] = (enlarged > 0).numpy()
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
    if config.hounsfield_levels is None:
        normalised = torch.from_numpy(normalise(canonical_voxels))
    else:
        normalised = torch.from_numpy(grey_values(canonical_voxels, config.hounsfield_levels))
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


def grey_values(
    voxels: npt.NDArray[np.generic], levels: tuple[tuple[float, float], ...]
) -> npt.NDArray[np.float32]:
    """Grey values of Hounsfield units, linear between the levels (hounsfield, grey value).

    The same tissue is as bright in every volume, which a network that sees few volumes needs.
    """
    hounsfield, grey = np.array(levels, dtype=np.float64).T
    lowest, highest = int(hounsfield[0]), int(hounsfield[-1])
    table = np.interp(np.arange(lowest, highest + 1), hounsfield, grey).astype(np.float32)
    rounded = np.rint(voxels) if voxels.dtype.kind == "f" else voxels
    grey_of_voxels: npt.NDArray[np.float32] = table[
        np.clip(rounded, lowest, highest).astype(np.int32) - lowest
    ]
    return grey_of_voxels


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


@dataclass(frozen=True)
class _AxisInterpolation:
    """Which voxels of the image (source) make which of the volume (target) along one axis.

    ``weights`` is the matrix (target, source) of linear interpolation: dense, because a product of
    small matrices is faster than gathering.
    """

    target: slice
    source: slice
    weights: Tensor


def _interpolation(
    found: list[int], image_size: int, size: int, scale: float, offset: float
) -> _AxisInterpolation:
    """Interpolation from the first to the last voxel found, and one more on each side."""
    low, high = max(0, found[0] - 1), min(image_size - 1, found[1] + 1)
    positions = (np.arange(size) + 0.5) * scale - 0.5 + offset
    # A voxel belongs to the image while its centre lies within the image's outer voxels.
    reach_low = max(low, -0.5) if low else -0.5
    reach_high = high if high < image_size - 1 else image_size - 0.5
    reached = np.flatnonzero((positions >= reach_low) & (positions <= reach_high))
    if reached.size == 0:
        return _AxisInterpolation(slice(0, 0), slice(low, low), torch.zeros(0, 0))
    inner = positions[reached].clip(low, high) - low
    weights = np.maximum(0, 1 - np.abs(inner[:, None] - np.arange(high - low + 1)[None]))
    return _AxisInterpolation(
        slice(int(reached[0]), int(reached[-1]) + 1),
        slice(low, high + 1),
        torch.from_numpy(weights.astype(np.float32)),
    )


def _size3(values: torch.Size | list[int]) -> Size3:
    z, y, x = (int(value) for value in values)
    return z, y, x
