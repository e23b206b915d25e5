"""Masks with eight voxels to a byte, and masks gone through plane by plane.

A plane fits into the processor's cache, and packed bits are an eighth of what they stand for:
comparing masks so takes a fraction of the time of arrays as large as a volume, and no memory of
that size. Positions are voxel indices (k, j, i), the first voxel of an extent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Mask: TypeAlias = NDArray[np.bool_]
Index: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class PlanesWithin:
    """Planes (j, i) of a mask on an extent, made one by one; not to be written into.

    Attributes
    ----------
    voxels
        (k, j, i) of a mask, or labels.
    start_kji
        Index of their first voxel; elsewhere the mask is false.
    extent
        First index, and the index just behind the last.
    label
        The label that means true; None for a mask.
    """

    voxels: NDArray[Any]
    start_kji: Index
    extent: tuple[Index, Index]
    label: int | None = None

    def __iter__(self) -> Iterator[Mask | None]:
        """Each plane, None where the mask has no voxels at all."""
        start, stop = self.extent
        low = np.maximum(start, self.start_kji)
        high = np.minimum(stop, np.add(self.start_kji, self.voxels.shape))
        shape = [b - a for a, b in zip(start[1:], stop[1:], strict=True)]
        there = _rows_and_columns(low, high, self.start_kji)
        here = _rows_and_columns(low, high, start)
        is_whole = [part.stop - part.start for part in here] == shape
        for k in range(start[0], stop[0]):
            if not (low[0] <= k < high[0] and (low < high).all()):
                yield None
                continue
            plane = self.voxels[k - self.start_kji[0]][there]
            marked = plane if self.label is None else plane == self.label
            if is_whole:
                yield marked
            else:
                whole = np.zeros(shape, np.bool_)
                whole[here] = marked
                yield whole


@dataclass(frozen=True, eq=False)
class PackedMask:
    """A mask on an extent, its rows packed.

    Attributes
    ----------
    start_kji, shape_kji
        The extent: its first voxel and its size.
    bits
        (k, j, bytes): eight voxels of a row in each byte, the first one in the highest bit.
    unused
        How many bits of each row come before its first voxel, 0 to 7.
    """

    start_kji: Index
    shape_kji: Index
    bits: NDArray[np.uint8]
    unused: int = 0

    @classmethod
    def nothing(cls, start_kji: Index, stop_kji: Index) -> PackedMask:
        """Return an empty mask on an extent."""
        depth, height, width = (max(0, b - a) for a, b in zip(start_kji, stop_kji, strict=True))
        bits = np.zeros((depth, height, -(-width // 8)), np.uint8)
        return cls(start_kji, (depth, height, width), bits)

    @classmethod
    def of(cls, planes: PlanesWithin) -> PackedMask:
        """Pack the planes of a mask."""
        packed = cls.nothing(*planes.extent)
        for bits, plane in zip(packed.bits, planes, strict=True):
            if plane is not None:
                bits[...] = np.packbits(plane, axis=1)
        return packed

    @property
    def any(self) -> bool:
        """Whether there is a voxel in it."""
        return bool(self.bits.any())

    @property
    def mask(self) -> Mask:
        """Mask (k, j, i) over the extent."""
        stop = self.unused + self.shape_kji[2]
        flat = np.unpackbits(self.bits, axis=2, count=stop)
        return flat[:, :, self.unused :].view(np.bool_)

    def rows(self, index: int) -> tuple[slice, Mask] | None:
        """Rows of one plane that hold what is true in it, and their mask (j, i); or None."""
        bits = self.bits[index]
        filled = np.flatnonzero(np.bitwise_or.reduce(bits, axis=1))
        if not filled.size:
            return None
        rows = slice(int(filled[0]), int(filled[-1]) + 1)
        flat = np.unpackbits(bits[rows], axis=1, count=self.unused + self.shape_kji[2])
        return rows, flat[:, self.unused :].view(np.bool_)

    def box(self) -> tuple[slice, slice, slice] | None:
        """Slices (k, j, i) of the extent that hold all that is true; None if nothing is."""
        planes = [k for k, bits in enumerate(self.bits) if bits.any()]
        if not planes:
            return None
        first, last = planes[0], planes[-1]
        return self.box_of(first, last, np.bitwise_or.reduce(self.bits[first : last + 1], axis=0))

    def box_of(
        self, first: int, last: int, together: NDArray[np.uint8]
    ) -> tuple[slice, slice, slice]:
        """As `box`, from the first and the last plane with a voxel and the bits of all planes."""
        rows = np.flatnonzero(np.bitwise_or.reduce(together, axis=1))
        in_columns = np.unpackbits(np.bitwise_or.reduce(together, axis=0))
        columns = np.flatnonzero(in_columns[self.unused :])
        j, i = (slice(int(hits[0]), int(hits[-1]) + 1) for hits in (rows, columns))
        return slice(first, last + 1), j, i

    def cropped(self, box: tuple[slice, slice, slice]) -> PackedMask:
        """Return the part within slices (k, j, i) of the extent, a copy."""
        first = self.unused + box[2].start
        last = self.unused + box[2].stop
        bits = self.bits[box[0], box[1], first // 8 : -(-last // 8)].copy()
        if bits.size:
            bits[:, :, 0] &= 0xFF >> first % 8
            bits[:, :, -1] &= (0xFF << -last % 8) & 0xFF
        k, j, i = (a + part.start for a, part in zip(self.start_kji, box, strict=True))
        depth, height, width = (part.stop - part.start for part in box)
        return PackedMask((k, j, i), (depth, height, width), bits, first % 8)


def _rows_and_columns(
    low: NDArray[np.int64], high: NDArray[np.int64], origin: Index
) -> tuple[slice, slice]:
    j, i = (slice(int(low[n] - origin[n]), int(high[n] - origin[n])) for n in (1, 2))
    return j, i
