"""Masks as an extent with bits, and what a step changed in one segment.

Positions are voxel indices (k, j, i), the first voxel of an extent; bits are packed eight to a
byte, so that a history of changes stays small.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Mask: TypeAlias = NDArray[np.bool_]
Index: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class ExtentMask:
    """A mask that is false outside an extent.

    Attributes
    ----------
    start_kji
        Index of the extent's first voxel.
    voxels
        (k, j, i) of the extent; of size 0 for an empty mask.
    """

    start_kji: Index
    voxels: Mask

    @classmethod
    def of(cls, mask: Mask, start_kji: Index = (0, 0, 0)) -> ExtentMask:
        """Crop a mask, whose first voxel is at `start_kji`, to what is true in it."""
        box = bounding_slices(mask)
        if box is None:
            return cls((0, 0, 0), np.zeros((0, 0, 0), np.bool_))
        k, j, i = (s.start + first for s, first in zip(box, start_kji, strict=True))
        return cls((k, j, i), mask[box])

    @property
    def stop_kji(self) -> Index:
        """Index just behind the extent's last voxel."""
        k, j, i = (a + n for a, n in zip(self.start_kji, self.voxels.shape, strict=True))
        return k, j, i

    @property
    def empty(self) -> bool:
        """Whether there is no voxel in the extent."""
        return self.voxels.size == 0

    def moved(self, offset_kji: Index) -> ExtentMask:
        """Return the same mask elsewhere on the grid."""
        k, j, i = (a + b for a, b in zip(self.start_kji, offset_kji, strict=True))
        return ExtentMask((k, j, i), self.voxels)

    def within(self, start_kji: Index, stop_kji: Index) -> Mask:
        """Return the mask on another extent, not to be written into."""
        if (start_kji, stop_kji) == (self.start_kji, self.stop_kji):
            return self.voxels
        shape = [max(0, b - a) for a, b in zip(start_kji, stop_kji, strict=True)]
        result = np.zeros(shape, np.bool_)
        low = np.maximum(start_kji, self.start_kji)
        high = np.minimum(stop_kji, self.stop_kji)
        if not self.empty and (low < high).all():
            here, there = _slices(low, high, start_kji), _slices(low, high, self.start_kji)
            result[here] = self.voxels[there]
        return result


@dataclass(frozen=True, eq=False)
class VoxelChange:
    """Voxels that one segment gained and lost, within an extent of its segmentation's grid.

    Attributes
    ----------
    segment_id
        Which segment.
    start_kji, shape_kji
        The extent: its first voxel and its size.
    added_bits, removed_bits
        Packed bits over the extent in C order.
    """

    segment_id: str
    start_kji: Index
    shape_kji: Index
    added_bits: NDArray[np.uint8]
    removed_bits: NDArray[np.uint8]

    @classmethod
    def between(
        cls, segment_id: str, start_kji: Index, before: Mask, after: Mask
    ) -> VoxelChange | None:
        """Return the change between two masks on one extent; None if they are equal."""
        # A first result is the common case, and one comparison less of large arrays.
        was_empty = not before.any()
        changed = after if was_empty else before ^ after
        box = bounding_slices(changed)
        if box is None:
            return None
        k, j, i = (s.start + first for s, first in zip(box, start_kji, strict=True))
        depth, height, width = changed[box].shape
        added_bits = np.packbits(after[box] if was_empty else changed[box] & after[box])
        removed_bits = (
            np.zeros_like(added_bits) if was_empty else np.packbits(changed[box] & before[box])
        )
        return cls(segment_id, (k, j, i), (depth, height, width), added_bits, removed_bits)

    @classmethod
    def removal(cls, segment_id: str, start_kji: Index, removed: Mask) -> VoxelChange:
        """Return the loss of the voxels of a mask that begins at `start_kji`."""
        depth, height, width = removed.shape
        bits = np.packbits(removed)
        return cls(segment_id, start_kji, (depth, height, width), np.zeros_like(bits), bits)

    @property
    def added(self) -> Mask:
        """Mask (k, j, i) over the extent."""
        return self._unpacked(self.added_bits)

    @property
    def removed(self) -> Mask:
        """Mask (k, j, i) over the extent."""
        return self._unpacked(self.removed_bits)

    @property
    def adds(self) -> bool:
        """Whether a voxel is added."""
        return bool(self.added_bits.any())

    @property
    def removes(self) -> bool:
        """Whether a voxel is removed."""
        return bool(self.removed_bits.any())

    @property
    def stop_kji(self) -> Index:
        """Index just behind the extent's last voxel."""
        k, j, i = (a + n for a, n in zip(self.start_kji, self.shape_kji, strict=True))
        return k, j, i

    @property
    def reverse(self) -> VoxelChange:
        """Return the change that takes this one back."""
        return VoxelChange(
            self.segment_id, self.start_kji, self.shape_kji, self.removed_bits, self.added_bits
        )

    @property
    def nbytes(self) -> int:
        """Memory that the bits take."""
        return self.added_bits.nbytes + self.removed_bits.nbytes

    def _unpacked(self, bits: NDArray[np.uint8]) -> Mask:
        count = int(np.prod(self.shape_kji))
        return np.unpackbits(bits, count=count).reshape(self.shape_kji).view(np.bool_)


def bounding_slices(planes: Iterable[Mask]) -> tuple[slice, slice, slice] | None:
    """Slices (k, j, i) of the smallest extent that holds all that is true; None if nothing is.

    Parameters
    ----------
    planes
        A mask (k, j, i), or its planes one by one: what is made and looked at within the
        processor's cache takes a fraction of the time of a whole mask.
    """
    kept: list[int] = []
    rows = columns = np.zeros(0, np.bool_)
    for k, plane in enumerate(planes):
        if plane.any():
            in_rows = np.logical_or.reduce(plane, axis=1)
            in_columns = np.logical_or.reduce(plane, axis=0)
            rows = rows | in_rows if kept else in_rows
            columns = columns | in_columns if kept else in_columns
            kept.append(k)
    if not kept:
        return None
    j, i = (np.flatnonzero(hits).tolist() for hits in (rows, columns))
    return slice(kept[0], kept[-1] + 1), slice(j[0], j[-1] + 1), slice(i[0], i[-1] + 1)


def _slices(low: NDArray[np.int64], high: NDArray[np.int64], origin: Index) -> tuple[slice, ...]:
    return tuple(slice(int(a - o), int(b - o)) for a, b, o in zip(low, high, origin, strict=True))
