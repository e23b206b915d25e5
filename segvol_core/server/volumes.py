"""Volumes in memory, within a budget: the least recently used go when others need the room."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator

import numpy as np

from segvol_core.model.config import SegVolConfig
from segvol_core.server.failures import Failure, busy, dropped_volume, unknown_volume
from segvol_core.server.settings import Settings
from segvol_core.server.stored_volume import StoredVolume, VolumeHeader, VolumeState
from segvol_core.volume import CanonicalVolume

_FLOAT32_BYTES = 4
_KEEP_UPLOADING_SECONDS = 30.0
"""A half-sent volume is not dropped for others while its chunks still come."""
_REMEMBERED_DROPPED = 1000


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
