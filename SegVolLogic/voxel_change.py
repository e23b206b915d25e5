"""Masks as an extent of voxels, and what a step changed in one segment.

Positions are voxel indices (k, j, i), the first voxel of an extent. Changes are packed bits, so
that a history of them stays small.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from SegVolLogic.packed_mask import Index, Mask, PackedMask, PlanesWithin


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

    def planes(self, start_kji: Index, stop_kji: Index) -> PlanesWithin:
        """Return the planes of the mask on another extent."""
        return PlanesWithin(self.voxels, self.start_kji, (start_kji, stop_kji))


@dataclass(frozen=True, eq=False)
class VoxelChange:
    """Voxels that one segment gained and lost, within an extent of its segmentation's grid.

    Attributes
    ----------
    segment_id
        Which segment.
    added, removed
        Masks on one extent.
    """

    segment_id: str
    added: PackedMask
    removed: PackedMask

    @classmethod
    def between(
        cls, segment_id: str, before: PlanesWithin, after: PlanesWithin
    ) -> VoxelChange | None:
        """Return the change between two masks on one extent; None if they are equal."""
        added, removed = PackedMask.nothing(*after.extent), PackedMask.nothing(*after.extent)
        nothing = np.zeros(added.bits.shape[1:], np.uint8)
        together = nothing.copy()
        changed_planes = []
        for k, (old, new) in enumerate(zip(before, after, strict=True)):
            old_bits = nothing if old is None else np.packbits(old, axis=1)
            new_bits = nothing if new is None else np.packbits(new, axis=1)
            changed = old_bits ^ new_bits
            if changed.any():
                changed_planes.append(k)
                together |= changed
                # What is not written into takes no memory yet.
                if new is not None:
                    np.bitwise_and(changed, new_bits, out=added.bits[k])
                if old is not None:
                    np.bitwise_and(changed, old_bits, out=removed.bits[k])
        if not changed_planes:
            return None
        box = added.box_of(changed_planes[0], changed_planes[-1], together)
        return cls(segment_id, added.cropped(box), removed.cropped(box))

    @classmethod
    def removal(cls, segment_id: str, removed: PackedMask) -> VoxelChange:
        """Return the loss of the voxels of a mask."""
        nothing = replace(removed, bits=np.zeros_like(removed.bits))
        return cls(segment_id, nothing, removed)

    @property
    def start_kji(self) -> Index:
        """Index of the extent's first voxel."""
        return self.added.start_kji

    @property
    def stop_kji(self) -> Index:
        """Index just behind the extent's last voxel."""
        k, j, i = (a + n for a, n in zip(self.start_kji, self.added.shape_kji, strict=True))
        return k, j, i

    @property
    def reverse(self) -> VoxelChange:
        """Return the change that takes this one back."""
        return VoxelChange(self.segment_id, self.removed, self.added)

    @property
    def nbytes(self) -> int:
        """Memory that the bits take."""
        return self.added.bits.nbytes + self.removed.bits.nbytes


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
