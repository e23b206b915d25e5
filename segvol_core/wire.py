"""What the inference process and its clients agree on: headers, types of voxels, packed masks.

Only numpy is needed, so that Slicer's own Python can import this module.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from segvol_core.errors import SegVolError

PROTOCOL = 2
"""Grows by one whenever a client and a server of two versions cannot understand each other."""

CLIENT_HEADER = "X-SegVol-Client"
"""Random name of a client: its volumes and requests are its own, and queues are fair between."""

PROTOCOL_HEADER = "X-SegVol-Protocol"
CHECKSUM_HEADER = "X-SegVol-CRC32"
"""CRC-32 of a chunk, eight hexadecimal digits: TCP alone misses an error in some gigabytes."""

VOXEL_TYPES = (
    "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"
)  # fmt: skip
"""Types of voxels on the wire, little-endian."""

MIN_CHUNK_BYTES, MAX_CHUNK_BYTES = 64 * 1024, 16 * 1024**2

MAX_WAIT_SECONDS = 10.0
"""How long a request for news may be held open until there is some."""

MAX_SEGMENT_NAME = 200
MAX_POINTS = 1000
MAX_SEGMENTS = 256
"""Segments in one request; more than the vocabulary has organs."""
MAX_NAMES = 3
"""Names that a server suggests for a mask."""

_MAGIC = b"SVMK"
_HEADER = struct.Struct("<4sHH9I")
_FORMAT = 1

Index3 = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class CroppedMask:
    """A mask on a volume's voxels, cut to the smallest extent that holds all of it.

    Attributes
    ----------
    shape_kji
        Shape of the whole volume.
    low_kji
        First voxel of the extent; (0, 0, 0) for an empty mask.
    voxels
        (k, j, i) of the extent; of shape (0, 0, 0) for an empty mask.
    """

    shape_kji: Index3
    low_kji: Index3
    voxels: NDArray[np.bool_]

    def whole(self) -> NDArray[np.bool_]:
        """The mask on all voxels of the volume, (k, j, i)."""
        mask = np.zeros(self.shape_kji, dtype=bool)
        ends = zip(self.low_kji, self.voxels.shape, strict=True)
        mask[tuple(slice(low, low + size) for low, size in ends)] = self.voxels
        return mask


def voxel_dtype(voxel_type: str) -> np.dtype[np.generic]:
    """Type of an array of voxels as they are on the wire."""
    return np.dtype(voxel_type).newbyteorder("<")


def crop_mask(mask: NDArray[np.bool_]) -> CroppedMask:
    """Cut a mask (k, j, i) to its extent; nothing is copied."""
    extent = _extent(mask)
    low = _index3([axis.start for axis in extent])
    return CroppedMask(_index3(mask.shape), low, mask[extent])


def pack_mask(mask: NDArray[np.bool_]) -> bytes:
    """A mask (k, j, i) as a header with its extent and one bit for each voxel of the extent."""
    cropped = crop_mask(mask)
    numbers = (*cropped.shape_kji, *cropped.low_kji, *cropped.voxels.shape)
    bits = np.packbits(np.ascontiguousarray(cropped.voxels).reshape(-1))
    return _HEADER.pack(_MAGIC, _FORMAT, 0, *numbers) + bits.tobytes()


def unpack_mask(data: bytes) -> CroppedMask:
    """Read what :func:`pack_mask` gives.

    Raises
    ------
    SegVolError
        If the bytes are anything else.
    """
    if len(data) < _HEADER.size:
        raise SegVolError("The server sent a mask that is cut off.")
    magic, form, _, *numbers = _HEADER.unpack_from(data)
    shape, low, size = _index3(numbers[:3]), _index3(numbers[3:6]), _index3(numbers[6:])
    if magic != _MAGIC or form != _FORMAT:
        raise SegVolError("The server sent a mask in a form that this version does not know.")
    count = math.prod(size)
    fits = all(a + n <= whole for a, n, whole in zip(low, size, shape, strict=True))
    if not fits or len(data) != _HEADER.size + -(-count // 8):
        raise SegVolError("The server sent a mask that does not fit its volume.")
    bits = np.frombuffer(data, dtype=np.uint8, offset=_HEADER.size)
    voxels = np.unpackbits(bits, count=count).view(np.bool_).reshape(size)
    return CroppedMask(shape, low, voxels)


def _extent(mask: NDArray[np.bool_]) -> tuple[slice, slice, slice]:
    """Smallest extent (k, j, i) that holds all of a mask.

    Looked for in the order in which the voxels lie in memory: a mask comes as a flipped and
    transposed view, along whose own axes numpy is several times slower.
    """
    order = np.argsort([-abs(stride) for stride in mask.strides])
    flipped = [mask.strides[axis] < 0 for axis in order]
    memory = mask.transpose(order)[tuple(slice(None, None, -1 if f else 1) for f in flipped)]
    first = _run(memory.any(axis=(1, 2)))
    plane = np.logical_or.reduce(memory[first], axis=0)
    found = (first, _run(plane.any(axis=1)), _run(plane.any(axis=0)))
    extent = [slice(0, 0)] * 3
    for axis, flip, run, size in zip(order, flipped, found, memory.shape, strict=True):
        extent[axis] = slice(size - run.stop, size - run.start) if flip and run.stop else run
    k, j, i = extent
    return k, j, i


def _run(occupied: ArrayLike) -> slice:
    """From the first to the last true value; empty, at 0, if there is none."""
    found = np.flatnonzero(occupied)
    return slice(int(found[0]), int(found[-1]) + 1) if len(found) else slice(0, 0)


def _index3(values: tuple[int, ...] | list[int]) -> Index3:
    k, j, i = values
    return k, j, i
