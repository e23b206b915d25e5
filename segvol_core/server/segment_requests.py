"""Requests for segments: what is asked, how far it is, and the masks until they are fetched."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from segvol_core.prompts import Prompts
from segvol_core.server.failures import Failure, busy
from segvol_core.server.settings import Settings
from segvol_core.server.stored_volume import StoredVolume
from segvol_core.session import Update


class RequestState(str, Enum):
    """How far a request has come."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"

    @property
    def open(self) -> bool:
        """Whether something more will come."""
        return self in (RequestState.WAITING, RequestState.RUNNING)


MaskStage = Literal["coarse", "final"]


@dataclass(frozen=True)
class Wish:
    """What is asked of a segment.

    Attributes
    ----------
    segment
        The client's name for the segment; a newer request for the same one replaces this.
    to_name
        Whether to look for names of the final mask.
    keep_largest
        Whether the final mask is to be no more than its largest connected part.
    """

    segment: str
    prompts: Prompts
    to_name: bool = False
    keep_largest: bool = False


@dataclass(eq=False)
class SegmentRequest:
    """One segment that a client wants.

    Attributes
    ----------
    mask, mask_stage
        Latest mask, packed, and which it is.
    names
        That the final mask could have, with their probabilities.
    error_kind, error
        Why it failed: for programs, and a sentence.
    revision
        Number of the change that it was changed by last.
    """

    request_id: str
    volume: StoredVolume
    wish: Wish
    state: RequestState = RequestState.WAITING
    fraction: float = 0.0
    mask: bytes | None = None
    mask_stage: MaskStage | None = None
    message: str | None = None
    names: tuple[tuple[str, float], ...] = ()
    error_kind: str = ""
    error: str | None = None
    revision: int = 0
    finished: float = 0.0


@dataclass(eq=False)
class Group:
    """Segments that were asked for together, and are computed together.

    Attributes
    ----------
    requests
        In the order of the prompts that the core was given.
    updates
        The core's answer, once it has begun.
    told, masks_done
        When a client was last told of progress, and when its last final mask was there, by the
        monotonic clock.
    """

    volume: StoredVolume
    requests: list[SegmentRequest]
    updates: Iterator[Update] | None = None
    told: float = 0.0
    masks_done: float | None = None

    @property
    def open_requests(self) -> list[SegmentRequest]:
        """Those that somebody still waits for."""
        return [request for request in self.requests if request.state.open]


@dataclass(eq=False)
class RequestStore:
    """All requests of all clients.

    Not safe for several threads at once: the engine holds its lock round every call.
    """

    settings: Settings
    revision: int = 0
    _requests: dict[str, SegmentRequest] = field(default_factory=dict)

    def add(self, volume: StoredVolume, wanted: Sequence[Wish]) -> Group:
        """Take requests for segments of a volume; older ones for the same segments end.

        Raises
        ------
        Failure
            If there are too many open requests; the older ones go on then.
        """
        names = {wish.segment for wish in wanted}
        older = [request for request in self.of_volume(volume) if request.wish.segment in names]
        replaced = [request for request in older if request.state.open]
        everyone = [request for request in self._requests.values() if request.state.open]
        own = [request for request in everyone if request.volume.client == volume.client]
        more = len(wanted) - len(replaced)
        if (
            len(everyone) + more > self.settings.max_open_requests
            or len(own) + more > self.settings.max_open_requests_per_client
        ):
            raise busy("Too many segments are waited for: try again in a moment.")
        for request in older:
            if request.state.open:
                self.end(request, RequestState.SUPERSEDED)
            else:
                self.forget(request)
        group = Group(
            volume,
            [SegmentRequest(secrets.token_urlsafe(12), volume, wish) for wish in wanted],
        )
        for request in group.requests:
            self._requests[request.request_id] = request
            self.change(request)
        return group

    def get(self, client: str, request_id: str) -> SegmentRequest:
        """A client's request.

        Raises
        ------
        Failure
            If the client has no such request.
        """
        request = self._requests.get(request_id)
        if request is None or request.volume.client != client:
            raise Failure(404, "unknown_request", "The server does not know this request.")
        return request

    def changed(self, client: str, after: int) -> list[SegmentRequest]:
        """A client's requests that have changed after a revision, the latest change last."""
        changed = [
            request
            for request in self._requests.values()
            if request.volume.client == client and request.revision > after
        ]
        return sorted(changed, key=lambda request: request.revision)

    def of_volume(self, volume: StoredVolume) -> list[SegmentRequest]:
        """All requests on a volume."""
        return [request for request in self._requests.values() if request.volume is volume]

    def change(self, request: SegmentRequest) -> None:
        """Note that a request has changed."""
        self.revision += 1
        request.revision = self.revision

    def end(self, request: SegmentRequest, state: RequestState) -> None:
        """End a request; what was computed is only kept if it is done."""
        request.state = state
        request.finished = time.monotonic()
        if state is not RequestState.DONE:
            request.mask, request.mask_stage = None, None
        self.change(request)
        self._limit_results()

    def forget(self, request: SegmentRequest) -> None:
        """Remove a request with its mask."""
        self._requests.pop(request.request_id, None)

    def forget_old(self) -> None:
        """Remove ended requests that nobody has removed for long."""
        limit = time.monotonic() - self.settings.keep_result_seconds
        for request in list(self._requests.values()):
            if not request.state.open and request.finished < limit:
                self.forget(request)

    def _limit_results(self) -> None:
        kept = [request for request in self._requests.values() if request.mask is not None]
        size = sum(len(request.mask or b"") for request in kept)
        done = [request for request in kept if request.state is RequestState.DONE]
        for request in sorted(done, key=lambda request: request.finished):
            if size <= self.settings.max_result_bytes:
                return
            size -= len(request.mask or b"")
            request.mask, request.mask_stage = None, None
            self.change(request)
