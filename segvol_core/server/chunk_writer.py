"""Chunks of a volume as they come from the network."""

from __future__ import annotations

import time
import zlib

import numpy as np

from segvol_core.server.failures import Failure
from segvol_core.server.stored_volume import StoredVolume


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
