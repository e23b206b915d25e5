"""Class-agnostic regions of a CT without labels: the paper's pseudo-labels (section 3.4).

Felzenszwalb and Huttenlocher's graph segmentation (IJCV 2004) in three dimensions on a coarse,
smoothed grid, then cleaned: holes and fringes go by opening and closing, small and huge regions
are dropped, and regions that share a bounding box are one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import minimum_spanning_tree
from torch import Tensor

from segvol_core.preprocessing import PreparedVolume, resample

GRID_MM = 5.0
"""Voxel size of the coarse grid: small organs keep tens of voxels, a trunk stays below 300 000."""

_AIR_HU = -500.0
_SMOOTHING_VOXELS = 0.7
_MIN_VOLUME_ML = 3.0
_MAX_PART_OF_VOLUME = 0.25
_SAME_BOX_OVERLAP = 0.7


@dataclass(frozen=True)
class PseudoLabels:
    """Regions on a coarse grid of their own.

    Attributes
    ----------
    regions
        (d, h, w) int16; 0 is no region.
    scale, offset
        Per axis: the index in ``regions`` of the index i in the prepared image is
        ``i * scale + offset``.
    """

    regions: Tensor
    scale: tuple[float, float, float]
    offset: tuple[float, float, float]


def pseudo_labels(
    voxels: npt.NDArray[Any], spacing_zyx: tuple[float, float, float], prepared: PreparedVolume
) -> PseudoLabels:
    """Regions of a canonical volume in Hounsfield units, found again in its prepared image."""
    shape = [max(4, round(n * s / GRID_MM)) for n, s in zip(voxels.shape, spacing_zyx, strict=True)]
    coarse = resample(torch.from_numpy(voxels.astype(np.float32)), tuple(shape)).numpy()
    regions = clean(supervoxels(coarse))
    scale, offset = [], []
    for axis, size in enumerate(shape):
        coarse_per_voxel = size / voxels.shape[axis]
        step = coarse_per_voxel / prepared.scale[axis]
        scale.append(step)
        offset.append((0.5 - prepared.offset[axis]) * step - 0.5)
    return PseudoLabels(torch.from_numpy(regions), tuple(scale), tuple(offset))


def supervoxels(hounsfield: npt.NDArray[np.float32], scale: float = 300.0) -> npt.NDArray[np.int32]:
    """Felzenszwalb-Huttenlocher segmentation of a volume (d, h, w) in Hounsfield units.

    Only edges of the minimum spanning tree are judged; the published algorithm also merges along
    others, which matters for few regions and costs most of the time.

    Parameters
    ----------
    hounsfield
        Coarse volume.
    scale
        The k of the paper, in Hounsfield units x voxels: larger gives larger regions.

    Returns
    -------
    ndarray
        Region of each voxel, numbered from 0.
    """
    smooth = ndimage.gaussian_filter(hounsfield.clip(-1000, 1000), _SMOOTHING_VOXELS)
    # Differences in lung and bone are large within one organ; those of soft tissue are small.
    grey = np.interp(
        smooth, [-1000, _AIR_HU, -150, 250, 1000], [-300, -250, -150, 250, 400]
    ).astype(np.float32)
    index = np.arange(grey.size, dtype=np.int32).reshape(grey.shape)
    first, second, weight = [], [], []
    for axis in range(3):
        low = [slice(None)] * 3
        high = [slice(None)] * 3
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        first.append(index[tuple(low)].ravel())
        second.append(index[tuple(high)].ravel())
        weight.append(np.abs(grey[tuple(low)] - grey[tuple(high)]).ravel())
    # Zero is no edge in a sparse matrix.
    graph = coo_matrix(
        (np.concatenate(weight) + 1e-3, (np.concatenate(first), np.concatenate(second))),
        shape=(grey.size, grey.size),
    )
    tree = minimum_spanning_tree(graph.tocsr()).tocoo()
    order = np.argsort(tree.data, kind="stable")
    roots = _merge(
        tree.row[order].tolist(),
        tree.col[order].tolist(),
        tree.data[order].tolist(),
        grey.size,
        scale,
    )
    _, regions = np.unique(roots, return_inverse=True)
    return regions.reshape(grey.shape).astype(np.int32)


def clean(regions: npt.NDArray[np.int32]) -> npt.NDArray[np.int16]:
    """Regions worth prompting for, numbered from 1, the largest first; 0 elsewhere."""
    cleaned = np.zeros(regions.shape, dtype=np.int16)
    min_voxels = _MIN_VOLUME_ML * 1000 / GRID_MM**3
    sizes = np.bincount(regions.ravel())
    boxes = ndimage.find_objects(regions + 1)
    wanted = [
        region
        for region in np.argsort(-sizes, kind="stable")
        if min_voxels <= sizes[region] <= _MAX_PART_OF_VOLUME * regions.size
    ]
    accepted: list[tuple[slice, slice, slice]] = []
    cross = ndimage.generate_binary_structure(3, 1)
    for region in wanted:
        box = boxes[region]
        part = np.pad(regions[box] == region, 1)
        part = ndimage.binary_closing(ndimage.binary_opening(part, cross), cross)
        part = part[1:-1, 1:-1, 1:-1]
        if part.sum() < min_voxels:
            continue
        same = next(
            (i for i, other in enumerate(accepted) if _overlap(box, other) > _SAME_BOX_OVERLAP),
            None,
        )
        if same is None:
            accepted.append(box)
            same = len(accepted) - 1
        target = cleaned[box]
        target[part & (target == 0)] = same + 1
    return cleaned


def _merge(
    first: list[int], second: list[int], weight: list[float], size: int, scale: float
) -> npt.NDArray[np.int64]:
    """Union of voxels along edges no heavier than either side's inner difference allows."""
    parent = list(range(size))
    count = [1] * size
    limit = [scale] * size

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for a, b, w in zip(first, second, weight, strict=True):
        left, right = root(a), root(b)
        if left != right and w <= limit[left] and w <= limit[right]:
            if count[left] < count[right]:
                left, right = right, left
            parent[right] = left
            count[left] += count[right]
            limit[left] = w + scale / count[left]
    return np.array([root(node) for node in range(size)])


def _overlap(first: tuple[slice, ...], second: tuple[slice, ...]) -> float:
    """Intersection over union of two boxes."""
    common, one, other = 1.0, 1.0, 1.0
    for a, b in zip(first, second, strict=True):
        common *= max(0, min(a.stop, b.stop) - max(a.start, b.start))
        one *= a.stop - a.start
        other *= b.stop - b.start
    return common / (one + other - common)
