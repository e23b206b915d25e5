"""A volume of a client: what was said of it, its voxels as they came, and what came of them."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from segvol_core.errors import SegVolError
from segvol_core.server.failures import Failure
from segvol_core.session import Session
from segvol_core.volume import CanonicalVolume, FloatArray, Volume
from segvol_core.wire import Index3, voxel_dtype


class VolumeState(str, Enum):
    """How far a volume has come."""

    UPLOADING = "uploading"
    PREPARING = "preparing"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True, eq=False)
class VolumeHeader:
    """What a client says of a volume before its voxels come.

    Attributes
    ----------
    shape_kji, voxel_type, ijk_to_ras
        Of the array: C order (k, j, i), little-endian, and where its voxels lie.
    chunk_bytes
        Size of the chunks that will come, but for the last.
    """

    shape_kji: Index3
    voxel_type: str
    ijk_to_ras: FloatArray
    chunk_bytes: int

    @property
    def size_bytes(self) -> int:
        """Bytes of all voxels."""
        return math.prod(self.shape_kji) * voxel_dtype(self.voxel_type).itemsize

    def position(self) -> CanonicalVolume:
        """Where the voxels will lie: a volume without voxels, which takes no memory.

        Raises
        ------
        VolumeError
            If shape or matrix are not those of a volume.
        """
        stand_in = np.broadcast_to(np.zeros((), voxel_dtype(self.voxel_type)), self.shape_kji)
        return Volume(stand_in, self.ijk_to_ras).canonical()


@dataclass(eq=False)
class StoredVolume:
    """A volume of a client.

    Attributes
    ----------
    volume_id
        Cannot be guessed.
    client
        Who sent it; nobody else can use it.
    model
        Name of the network that segments it.
    header
        What its client said of it.
    position
        Where its voxels lie, to check prompts; it holds no voxels.
    charge_bytes
        What it may take of the memory budget once everything is encoded.
    cache_bytes
        Embeddings that it may keep.
    data
        Voxels as they came.
    received
        Which chunks have come.
    writing
        Chunks that are coming now.
    session, error
        What came of preparing it.
    messages
        Sentences about the volume for the user.
    told
        Whether they went along with an answer already.
    ahead
        Encoding ahead, under way; None before it begins and after it ends.
    encoded
        Whether encoding ahead is done.
    """

    volume_id: str
    client: str
    model: str
    header: VolumeHeader
    position: CanonicalVolume
    charge_bytes: int
    cache_bytes: int
    data: NDArray[np.uint8]
    received: list[bool]
    writing: set[int] = field(default_factory=set)
    last_used: float = field(default_factory=time.monotonic)
    session: Session | None = None
    error: SegVolError | None = None
    messages: list[str] = field(default_factory=list)
    told: bool = False
    ahead: Iterator[float] | None = None
    encoded: bool = False

    @property
    def state(self) -> VolumeState:
        """How far it has come."""
        if self.error is not None:
            return VolumeState.FAILED
        if self.session is not None:
            return VolumeState.READY
        return VolumeState.PREPARING if all(self.received) else VolumeState.UPLOADING

    @property
    def missing(self) -> list[int]:
        """Chunks that have not come yet."""
        return [index for index, received in enumerate(self.received) if not received]

    def voxels(self) -> NDArray[np.generic]:
        """All voxels (k, j, i), without a copy."""
        dtype = voxel_dtype(self.header.voxel_type)
        return self.data.view(dtype).reshape(self.header.shape_kji)

    def chunk(self, index: int) -> NDArray[np.uint8]:
        """Where a chunk goes.

        Raises
        ------
        Failure
            If there is no such chunk.
        """
        if not 0 <= index < len(self.received):
            raise Failure(404, "unknown", f"The volume has {len(self.received)} chunks, from 0.")
        start = index * self.header.chunk_bytes
        return self.data[start : start + self.header.chunk_bytes]
