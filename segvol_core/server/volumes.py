"""Volumes in memory: received chunk by chunk, dropped when others need the room."""

from __future__ import annotations

import math
import secrets
import time
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from segvol_core.errors import SegVolError
from segvol_core.model.config import SegVolConfig
from segvol_core.server.failures import Failure, busy, dropped_volume, unknown_volume
from segvol_core.server.settings import Settings
from segvol_core.session import Session
from segvol_core.volume import CanonicalVolume, FloatArray, Volume
from segvol_core.wire import Index3, voxel_dtype

_FLOAT32_BYTES = 4
_KEEP_UPLOADING_SECONDS = 30.0
"""A half-sent volume is not dropped for others while its chunks still come."""
_REMEMBERED_DROPPED = 1000


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


class ChunkWriter:
    """Takes one chunk as it comes, and counts it only if it is whole and sound.

    Use it as a context; leaving it before `finish` leaves the chunk missing.
    """

    def __init__(self, volume: StoredVolume, index: int) -> None:
        self._volume = volume
        self._index = index
        self._target = volume.chunk(index)
        self._again = volume.received[index]
        self._filled = 0
        self._checksum = 0

    def __enter__(self) -> ChunkWriter:
        if self._index in self._volume.writing:
            raise Failure(409, "conflict", "This chunk is being received already.")
        self._volume.writing.add(self._index)
        return self

    def __exit__(self, *_: object) -> None:
        self._volume.writing.discard(self._index)

    def write(self, piece: bytes) -> None:
        """Take the next bytes; a chunk that was received before stays as it is."""
        end = self._filled + len(piece)
        if end > len(self._target):
            raise Failure(
                413, "too_large", f"This chunk has more than its {len(self._target)} bytes."
            )
        if not self._again:
            self._target[self._filled : end] = np.frombuffer(piece, dtype=np.uint8)
        self._checksum = zlib.crc32(piece, self._checksum)
        self._filled = end

    def finish(self, checksum: str) -> None:
        """Count the chunk as received if it is as it was sent."""
        if self._filled < len(self._target):
            raise Failure(
                422,
                "malformed",
                f"This chunk has {self._filled} bytes instead of {len(self._target)}.",
            )
        if int(checksum, 16) != self._checksum:
            raise Failure(422, "checksum", "The chunk was damaged on its way: send it again.")
        self._volume.received[self._index] = True
        self._volume.last_used = time.monotonic()


class VolumeStore:
    """All volumes, within a budget of memory.

    Not safe for several threads at once: the engine holds its lock round every call.

    Parameters
    ----------
    settings
        Budget and limits.
    in_use
        Tells whether somebody waits for an answer on a volume, which is not dropped then.
    on_drop
        Called with every volume that goes.
    """

    def __init__(
        self,
        settings: Settings,
        in_use: Callable[[StoredVolume], bool],
        on_drop: Callable[[StoredVolume], None],
    ) -> None:
        self._settings = settings
        self._in_use = in_use
        self._on_drop = on_drop
        self._volumes: dict[str, StoredVolume] = {}
        self._dropped: OrderedDict[tuple[str, str], None] = OrderedDict()

    def __iter__(self) -> Iterator[StoredVolume]:
        return iter(list(self._volumes.values()))

    @property
    def used_bytes(self) -> int:
        """What all volumes may take."""
        return sum(volume.charge_bytes for volume in self._volumes.values())

    def add(
        self, client: str, model: str, config: SegVolConfig, header: VolumeHeader
    ) -> StoredVolume:
        """Make room for a new volume, at the cost of those that were not used for longest.

        Raises
        ------
        VolumeError
            If its shape or its matrix is not that of a volume.
        Failure
            If it is too large, or all memory is in use.
        """
        position = header.position()
        size = header.size_bytes
        allowed = self._settings.max_volume_bytes
        if size > allowed:
            raise Failure(
                413,
                "too_large",
                f"The volume has {_mib(size)} MiB; this server takes {_mib(allowed)} MiB at most.",
            )
        fixed, embeddings = memory_needed(position, config)
        if size + fixed > self._settings.memory_bytes:
            raise Failure(
                413,
                "too_large",
                f"Segmenting this volume takes {_mib(size + fixed)} MiB of memory; this server has "
                f"{_mib(self._settings.memory_bytes)} MiB.",
            )
        room = self._settings.memory_bytes - size - int(fixed)
        cache_bytes = min(self._settings.cache_bytes, room)
        charge = size + int(fixed) + int(min(embeddings, cache_bytes))
        self._make_room(charge)
        volume = StoredVolume(
            volume_id=secrets.token_urlsafe(16),
            client=client,
            model=model,
            header=header,
            position=position,
            charge_bytes=charge,
            cache_bytes=cache_bytes,
            data=np.empty(size, dtype=np.uint8),
            received=[False] * -(-size // header.chunk_bytes),
        )
        self._volumes[volume.volume_id] = volume
        return volume

    def get(self, client: str, volume_id: str) -> StoredVolume:
        """A client's volume, which becomes the most recently used.

        Raises
        ------
        Failure
            If it was dropped, or the client has no such volume.
        """
        volume = self._volumes.get(volume_id)
        if volume is None or volume.client != client:
            raise dropped_volume() if (client, volume_id) in self._dropped else unknown_volume()
        volume.last_used = time.monotonic()
        return volume

    def remove(self, volume: StoredVolume) -> None:
        """Forget a volume at its client's wish."""
        del self._volumes[volume.volume_id]
        self._on_drop(volume)

    def drop_idle(self) -> None:
        """Forget volumes that nobody has used for long."""
        limit = time.monotonic() - self._settings.keep_volume_seconds
        for volume in self:
            if volume.last_used < limit and not self._in_use(volume):
                self._drop(volume)

    def _make_room(self, charge: int) -> None:
        while (
            self.used_bytes + charge > self._settings.memory_bytes
            or len(self._volumes) >= self._settings.max_volumes
        ):
            unused = [volume for volume in self if self._can_go(volume)]
            if not unused:
                raise busy("All memory of the server is in use: try again in a moment.")
            self._drop(min(unused, key=lambda volume: volume.last_used))

    def _can_go(self, volume: StoredVolume) -> bool:
        if volume.state is VolumeState.UPLOADING:
            return time.monotonic() - volume.last_used > _KEEP_UPLOADING_SECONDS
        return not self._in_use(volume)

    def _drop(self, volume: StoredVolume) -> None:
        self._dropped[(volume.client, volume.volume_id)] = None
        if len(self._dropped) > _REMEMBERED_DROPPED:
            self._dropped.popitem(last=False)
        self.remove(volume)


def memory_needed(position: CanonicalVolume, config: SegVolConfig) -> tuple[float, float]:
    """Bytes that a session takes besides the voxels: the prepared image, and all embeddings.

    Upper bounds, as floating-point numbers since a strange spacing can make them huge.
    """
    image, windows, tokens = 1.0, 1.0, 1.0
    target = config.spacing_mm or (0.0, 0.0, 0.0)
    axes = zip(
        position.shape_zyx, position.spacing_zyx, target, config.window, config.patch, strict=True
    )
    for size, spacing, wanted, window, patch in axes:
        resampled = float(size) * float(spacing) / wanted if wanted else float(size)
        padded = max(resampled + 1, window)
        image *= padded
        windows *= 2 * padded / window
        tokens *= window / patch
    return image * _FLOAT32_BYTES, windows * tokens * config.width * _FLOAT32_BYTES


def _mib(size: float) -> str:
    return f"{size / 1024**2:.0f}"
