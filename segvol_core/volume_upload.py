"""A volume on its way to a server: chunk by chunk, going on after a break where it stopped."""

from __future__ import annotations

import time
import zlib

import numpy as np
from numpy.typing import NDArray

from segvol_core.connection import Connection
from segvol_core.errors import SegVolError
from segvol_core.volume import Volume
from segvol_core.wire import CHECKSUM_HEADER, VOXEL_TYPES, voxel_dtype

CHUNK_BYTES = 4 * 1024**2
"""Half a second on a line of 64 Mbit/s."""


class VolumeUpload:
    """The upload of one volume to one server.

    Parameters
    ----------
    connection
        To the server.
    volume
        Its voxels must not change meanwhile.
    model
        Name of one of the server's networks; its first by default.
    chunk_bytes
        Size of the pieces.
    """

    def __init__(
        self, connection: Connection, volume: Volume, model: str | None, chunk_bytes: int
    ) -> None:
        self._connection = connection
        self._volume = volume
        self._model = model
        self._chunk_bytes = chunk_bytes
        self._name: str | None = None
        self._chunks = 1
        # Chunks that the server does not have; None: ask it.
        self._missing: list[int] | None = None
        self._data: NDArray[np.uint8] | None = None

    @property
    def name(self) -> str | None:
        """What the server calls the volume; None before it knows of it."""
        return self._name

    @property
    def complete(self) -> bool:
        """Whether the server has all of it."""
        return self._missing == []

    @property
    def fraction(self) -> float:
        """Part that has been sent, 0 to 1."""
        return 0.0 if self._missing is None else 1 - len(self._missing) / self._chunks

    def send_for(self, seconds: float) -> None:
        """Send chunks until a time is over or all are sent, one at least.

        Raises
        ------
        SegVolError
            If the server does not take the volume or cannot be reached; calling this again goes on.
        """
        begin = time.monotonic()
        if self._data is None:
            self._data = _bytes_on_the_wire(self._volume)
        if self._missing is None:
            self._missing = self._ask_missing()
        while self._missing:
            try:
                self._send(self._missing[0], self._data)
            except SegVolError:
                # It may have come, or not.
                self._missing = None
                raise
            self._missing.pop(0)
            if time.monotonic() - begin > seconds:
                break
        if not self._missing:
            self._data = None

    def _ask_missing(self) -> list[int]:
        """Announce the volume, or ask which chunks of it have come before."""
        if self._name is None:
            answer = self._connection.json(
                "POST",
                "volumes",
                json={
                    "shape_kji": list(self._volume.shape_kji),
                    "voxel_type": _type_on_the_wire(self._volume),
                    "ijk_to_ras": self._volume.ijk_to_ras.tolist(),
                    "model": self._model,
                    "chunk_bytes": self._chunk_bytes,
                },
            )
            self._name = str(answer["volume"])
        else:
            answer = self._connection.json("GET", f"volumes/{self._name}")
        self._chunks = int(answer["chunks"])
        return list(answer["missing"])

    def _send(self, index: int, data: NDArray[np.uint8]) -> None:
        chunk = data[index * self._chunk_bytes : (index + 1) * self._chunk_bytes].tobytes()
        self._connection.json(
            "PUT",
            f"volumes/{self._name}/chunks/{index}",
            data=chunk,
            headers={
                CHECKSUM_HEADER: f"{zlib.crc32(chunk):08x}",
                "Content-Type": "application/octet-stream",
            },
        )


def _type_on_the_wire(volume: Volume) -> str:
    name = volume.voxels.dtype.newbyteorder("=").name
    if name in VOXEL_TYPES:
        return str(name)
    return "float32" if volume.voxels.dtype.itemsize < 4 else "float64"


def _bytes_on_the_wire(volume: Volume) -> NDArray[np.uint8]:
    """Voxels as they are sent, copied only if they lie otherwise in memory."""
    dtype = voxel_dtype(_type_on_the_wire(volume))
    return np.ascontiguousarray(volume.voxels, dtype=dtype).reshape(-1).view(np.uint8)
