"""What the HTTP routes call: volumes, requests and the worker, safe for several threads."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from segvol_core.model.segvol import SegVol
from segvol_core.prompts import place
from segvol_core.server.chunk_writer import ChunkWriter
from segvol_core.server.failures import Failure, failure_of
from segvol_core.server.fair_queue import FairQueue
from segvol_core.server.segment_requests import (
    Group,
    RequestState,
    RequestStore,
    SegmentRequest,
    Wish,
)
from segvol_core.server.settings import Settings
from segvol_core.server.stored_volume import StoredVolume, VolumeHeader, VolumeState
from segvol_core.server.volumes import VolumeStore
from segvol_core.server.worker import Worker

_STOP_SECONDS = 1.0


class Engine:
    """Segmentation for several clients at once.

    Nothing here computes: that is what the worker thread is for, so that every call returns at
    once. Errors are :class:`~segvol_core.server.failures.Failure`, or errors of the core.

    Parameters
    ----------
    models
        Networks by name, the default one first.
    settings
        Limits.
    device
        What the networks were put on, for people.

    Attributes
    ----------
    instance
        Tells this server from one that was started again at the same address.
    """

    def __init__(self, models: Mapping[str, SegVol], settings: Settings, device: str = "") -> None:
        self.settings = settings
        self.device = device
        self.instance = secrets.token_hex(8)
        self.models = dict(models)
        self._lock = threading.Condition()
        self._listeners: dict[str, list[Callable[[], None]]] = {}
        self._requests = RequestStore(settings)
        self._queue: FairQueue[Group] = FairQueue()
        self._volumes = VolumeStore(settings, self._in_use, self._forget_requests)
        self._worker = Worker(
            self.models,
            settings,
            lock=self._lock,
            volumes=self._volumes,
            requests=self._requests,
            queue=self._queue,
            tell=self._tell,
        )

    def start(self) -> None:
        """Begin to work."""
        self._worker.start()

    def stop(self) -> None:
        """Stop working after the window that is being encoded, if that ends in time."""
        self._worker.stop()
        self._worker.join(_STOP_SECONDS)

    @property
    def working(self) -> bool:
        """Whether the worker is still at something."""
        return self._worker.is_alive()

    # -- Volumes -----------------------------------------------------------------------------------

    def add_volume(self, client: str, model: str | None, header: VolumeHeader) -> StoredVolume:
        """Make room for a volume whose chunks will come."""
        name = next(iter(self.models)) if model is None else model
        if name not in self.models:
            raise Failure(404, "unknown", "The server has no such model.")
        with self._lock:
            return self._volumes.add(client, name, self.models[name].config, header)

    def volume(self, client: str, volume_id: str) -> StoredVolume:
        """A client's volume."""
        with self._lock:
            return self._volumes.get(client, volume_id)

    @contextmanager
    def chunk_writer(self, client: str, volume_id: str, index: int) -> Iterator[ChunkWriter]:
        """Take a chunk of a volume; with the last one, preparing the volume can begin."""
        volume = self.volume(client, volume_id)
        with ChunkWriter(volume, index) as writer:
            yield writer
        with self._lock:
            self._lock.notify_all()

    def remove_volume(self, client: str, volume_id: str) -> None:
        """Forget a volume with its requests and masks."""
        with self._lock:
            self._volumes.remove(self._volumes.get(client, volume_id))

    def drop_unused(self) -> None:
        """Forget what nobody has used for long."""
        with self._lock:
            self._volumes.drop_idle()
            self._requests.forget_old()

    # -- Requests ----------------------------------------------------------------------------------

    def request_segments(
        self, client: str, volume_id: str, wanted: Sequence[Wish]
    ) -> list[SegmentRequest]:
        """Ask for segments; newer requests for a segment replace older ones.

        Raises
        ------
        PromptError
            If a prompt lies outside the volume; no request is taken then.
        VolumeError
            If the volume cannot be segmented.
        """
        with self._lock:
            volume = self._volumes.get(client, volume_id)
            if volume.state is VolumeState.UPLOADING:
                raise Failure(409, "conflict", "The volume has not been sent completely.")
            if volume.error is not None:
                raise failure_of(volume.error)
        for wish in wanted:
            place(wish.prompts, volume.position)
        with self._lock:
            volume = self._volumes.get(client, volume_id)
            group = self._requests.add(volume, wanted)
            self._queue.add(client, group)
            self._lock.notify_all()
        self._tell(client)
        return group.requests

    def request(self, client: str, request_id: str) -> SegmentRequest:
        """A client's request."""
        with self._lock:
            return self._requests.get(client, request_id)

    def changed_requests(self, client: str, after: int) -> tuple[int, list[SegmentRequest]]:
        """The latest revision, and a client's requests that have changed after another one."""
        with self._lock:
            return self._requests.revision, self._requests.changed(client, after)

    def remove_request(self, client: str, request_id: str) -> None:
        """Cancel a request that is open; forget one that has ended."""
        with self._lock:
            request = self._requests.get(client, request_id)
            if request.state.open:
                self._requests.end(request, RequestState.CANCELLED)
                self._lock.notify_all()
            else:
                self._requests.forget(request)
        self._tell(client)

    @contextmanager
    def listener(self, client: str, callback: Callable[[], None]) -> Iterator[None]:
        """Have a function called, from any thread, when a request of a client changes."""
        with self._lock:
            self._listeners.setdefault(client, []).append(callback)
        try:
            yield
        finally:
            with self._lock:
                self._listeners[client].remove(callback)
                if not self._listeners[client]:
                    del self._listeners[client]

    def _tell(self, client: str) -> None:
        with self._lock:
            callbacks = list(self._listeners.get(client, ()))
        for callback in callbacks:
            callback()

    def _in_use(self, volume: StoredVolume) -> bool:
        return any(request.state.open for request in self._requests.of_volume(volume))

    def _forget_requests(self, volume: StoredVolume) -> None:
        for request in self._requests.of_volume(volume):
            self._requests.end(request, RequestState.CANCELLED)
            self._requests.forget(request)
