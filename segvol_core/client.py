"""Segment on a server as if it were here: send a volume, ask for segments, poll for masks.

Nothing is computed here and nothing waits longer than the connection's timeout, so that a user
interface can call `RemoteSession.poll` from a timer. Only numpy and `requests` are needed.
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Any

from segvol_core.connection import (
    AccessError,
    Connection,
    NotThereError,
    ServerBusyError,
    ServerError,
    ServerGoneError,
    ServerVersionError,
    VolumeGoneError,
    error_of,
)
from segvol_core.errors import SegVolError
from segvol_core.prompts import Prompts
from segvol_core.volume import Volume
from segvol_core.volume_upload import CHUNK_BYTES, VolumeUpload
from segvol_core.wire import MAX_SEGMENTS, CroppedMask, unpack_mask

__all__ = [
    "AccessError",
    "Connection",
    "CroppedMask",
    "RemoteSession",
    "RemoteStage",
    "RemoteUpdate",
    "ServerBusyError",
    "ServerError",
    "ServerGoneError",
    "ServerVersionError",
]

_UPLOAD_SECONDS = 0.03
"""How long a poll sends chunks: at 60 pictures a second, a panel misses two."""
_BUSY_SECONDS = 0.5
"""How long to leave a busy server alone."""
_SURE_SECONDS = 60.0
"""For how long a server surely keeps what it has answered."""

_NOT_THE_PROMPTS = (
    AccessError,
    ServerBusyError,
    ServerGoneError,
    ServerVersionError,
    VolumeGoneError,
)


class RemoteStage(Enum):
    """What an update brings."""

    UPLOAD = "upload"
    COARSE = "coarse"
    PROGRESS = "progress"
    FINAL = "final"
    NAMED = "named"
    FAILED = "failed"


@dataclass(frozen=True, eq=False)
class RemoteUpdate:
    """News of a segment, or of the upload.

    Attributes
    ----------
    stage
        ``COARSE`` and ``FINAL`` bring a mask, ``NAMED`` names, ``FAILED`` an error. Nothing more
        comes for a segment after ``FINAL``, or ``NAMED`` if names were asked for, or ``FAILED``.
    segment
        The name it was asked for by; None for ``UPLOAD``.
    fraction
        Part of the upload, or of the segment's work, that is done, 0 to 1.
    mask
        Cut to its extent.
    message
        A sentence for the user, or None.
    error
        As the core would have raised it.
    names
        Organs that the final mask could show with their probabilities, the most probable first.
    """

    stage: RemoteStage
    segment: str | None
    fraction: float
    mask: CroppedMask | None = None
    message: str | None = None
    error: SegVolError | None = None
    names: tuple[tuple[str, float], ...] = ()


@dataclass(eq=False)
class _Wanted:
    """A segment that is waited for.

    Attributes
    ----------
    together
        Number of the call that asked for it; segments of one call go to the server as one.
    request
        What the server calls it; None before it has been sent.
    """

    prompts: Prompts
    together: int
    to_name: bool = False
    keep_largest: bool = False
    request: str | None = None
    coarse_seen: bool = False
    final_seen: bool = False
    message: str | None = None


class RemoteSession:
    """A volume on a server, and what is asked of it.

    The volume is held here, so that it can be sent again when the server has dropped it or was
    started anew; whoever waits for a segment does not notice but for the time.

    Not for several threads at once.

    Parameters
    ----------
    connection
        May be shared by several volumes.
    volume
        Any orientation. Its voxels must not change.
    model
        Name of one of the server's networks; its first by default.
    chunk_bytes
        Size of the pieces that are sent; smaller ones keep a slow line from blocking a poll.
    """

    def __init__(
        self,
        connection: Connection,
        volume: Volume,
        *,
        model: str | None = None,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        self._connection = connection
        self._volume = volume
        self._model = model
        self._chunk_bytes = chunk_bytes
        self._wanted: dict[str, _Wanted] = {}
        self._calls = 0
        self._unneeded: list[str] = []
        self._not_before = 0.0
        self._begin_anew()

    @property
    def waiting_for(self) -> list[str]:
        """Segments for which more will come."""
        return list(self._wanted)

    @property
    def uploaded(self) -> bool:
        """Whether the server has the whole volume, as far as is known here."""
        return self._upload.complete

    def request(
        self,
        wanted: Mapping[str, Prompts],
        to_name: Collection[str] = (),
        keep_largest: Collection[str] = (),
    ) -> None:
        """Ask for segments, together; a newer request for a segment replaces an older one.

        Nothing is sent before the next `poll`.

        Parameters
        ----------
        wanted
            Prompts of each segment.
        to_name
            Segments for whose final masks names are wanted.
        keep_largest
            Segments of whose final masks only the largest connected part is wanted.
        """
        self._calls += 1
        for segment, prompts in wanted.items():
            self._wanted.pop(segment, None)
            self._wanted[segment] = _Wanted(
                prompts, self._calls, segment in to_name, segment in keep_largest
            )

    def cancel(self, segment: str) -> None:
        """Wait for a segment no longer."""
        wanted = self._wanted.pop(segment, None)
        if wanted is not None and wanted.request is not None:
            self._unneeded.append(wanted.request)

    def poll(
        self,
        wait_seconds: float = 0.0,
        waiting: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext,
    ) -> list[RemoteUpdate]:
        """Do the next small piece of work, and return what is new.

        The upload goes on, then requests are sent, then news and masks are fetched. After an error
        everything is as it was before, so that polling again goes on where it stopped.

        Parameters
        ----------
        wait_seconds
            How long to wait for news when there is nothing to send, 10 at most; 0 returns at once.
        waiting
            Makes what is entered while news are waited for, and left as soon as they are there.

        Raises
        ------
        ServerGoneError
            If the server does not answer within the connection's timeout.
        SegVolError
            If the server does not take the volume, the token or the version of this client.
        """
        if time.monotonic() < self._not_before:
            time.sleep(min(wait_seconds, max(0.0, self._not_before - time.monotonic())))
            return []
        try:
            if not self.uploaded:
                self._upload.send_for(_UPLOAD_SECONDS)
                return [RemoteUpdate(RemoteStage.UPLOAD, None, self._upload.fraction)]
            refused = self._send_requests()
            self._drop_unneeded()
            if refused or not self._wanted:
                return refused
            return self._fetch_news(wait_seconds, waiting)
        except ServerBusyError as error:
            self._not_before = time.monotonic() + _BUSY_SECONDS
            fraction = self._upload.fraction
            return [RemoteUpdate(RemoteStage.UPLOAD, None, fraction, message=str(error))]
        except VolumeGoneError:
            self._begin_anew()
            return [RemoteUpdate(RemoteStage.UPLOAD, None, 0.0)]

    def upload(self) -> Iterator[float]:
        """Send the volume, yielding the fraction that has been sent after each few chunks.

        `poll` does so too; this is for doing it beforehand.

        Raises
        ------
        SegVolError
            As `poll`.
        """
        while not self.uploaded:
            for update in self.poll(_BUSY_SECONDS):
                yield update.fraction

    def segment(
        self,
        wanted: Mapping[str, Prompts],
        to_name: Collection[str] = (),
        *,
        wait_seconds: float = 0.5,
    ) -> Iterator[RemoteUpdate]:
        """Ask for segments and yield all updates until the last of them has come.

        Stopping the iteration cancels what has not come.

        Raises
        ------
        SegVolError
            As `poll`; iterating `poll` goes on after one.
        """
        self.request(wanted, to_name)
        calls = self._calls
        try:
            while any(each.together == calls for each in self._wanted.values()):
                yield from self.poll(wait_seconds)
        except GeneratorExit:
            for segment in wanted:
                self.cancel(segment)
            with contextlib.suppress(SegVolError):
                self._drop_unneeded()
            raise

    def reconnect(self, connection: Connection) -> None:
        """Go on with another server, or with this one after it was started again.

        The volume is sent again, and so are the requests that have not been answered.
        """
        self._connection = connection
        self._begin_anew()

    def close(self) -> None:
        """Have the server forget the volume; one that cannot be reached forgets it in time."""
        self._wanted.clear()
        name = self._upload.name
        self._begin_anew()
        if name is not None:
            with contextlib.suppress(ServerError):
                self._connection.json("DELETE", f"volumes/{name}")

    def _begin_anew(self) -> None:
        """Be as before the first upload; what is waited for stays so."""
        self._upload = VolumeUpload(self._connection, self._volume, self._model, self._chunk_bytes)
        self._instance: str | None = None
        self._revision = 0
        self._last_news = 0.0
        self._unneeded.clear()
        for segment in list(self._wanted):
            self._ask_again(segment)

    def _ask_again(self, segment: str) -> None:
        """Send a request once more, unless only names are missing: they are not worth a mask."""
        if self._wanted[segment].final_seen:
            del self._wanted[segment]
        else:
            self._wanted[segment].request = None
            self._wanted[segment].coarse_seen = False

    def _send_requests(self) -> list[RemoteUpdate]:
        """Send what has not been sent; failures of what the server refuses."""
        unsent = [(name, each) for name, each in self._wanted.items() if each.request is None]
        refused: list[RemoteUpdate] = []
        for _, together in itertools.groupby(unsent, key=lambda item: item[1].together):
            group = list(together)
            for start in range(0, len(group), MAX_SEGMENTS):
                refused += self._send_group(group[start : start + MAX_SEGMENTS])
        return refused

    def _send_group(self, group: list[tuple[str, _Wanted]]) -> list[RemoteUpdate]:
        try:
            answers = self._connection.json(
                "POST",
                f"volumes/{self._upload.name}/requests",
                json={
                    "segments": [
                        {
                            "segment": segment,
                            "prompts": wanted.prompts.to_dict(),
                            "to_name": wanted.to_name,
                            "keep_largest": wanted.keep_largest,
                        }
                        for segment, wanted in group
                    ]
                },
            )
        except _NOT_THE_PROMPTS:
            raise
        except SegVolError as error:
            # One wrong prompt does not take the others with it.
            if len(group) > 1:
                return [update for each in group for update in self._send_group([each])]
            segment, _ = group[0]
            del self._wanted[segment]
            return [RemoteUpdate(RemoteStage.FAILED, segment, 0.0, error=error)]
        for (_, wanted), answer in zip(group, answers, strict=True):
            wanted.request = str(answer["request"])
        return []

    def _drop_unneeded(self) -> None:
        """Cancel what nobody waits for, and free masks that have been fetched."""
        while self._unneeded:
            with contextlib.suppress(NotThereError):
                self._connection.json("DELETE", f"requests/{self._unneeded[-1]}")
            self._unneeded.pop()

    def _fetch_news(
        self, wait_seconds: float, waiting: Callable[[], AbstractContextManager[object]]
    ) -> list[RemoteUpdate]:
        # After a long time without asking, for instance of a sleeping computer, the server may
        # have forgotten something: ask for everything.
        everything = time.monotonic() - self._last_news > _SURE_SECONDS
        with waiting():
            answer = self._connection.json(
                "GET",
                "requests",
                wait_seconds=wait_seconds,
                params={"after": 0 if everything else self._revision, "wait": wait_seconds},
            )
        if self._instance not in (None, answer["instance"]):
            self._begin_anew()
            return [RemoteUpdate(RemoteStage.UPLOAD, None, 0.0)]
        self._instance = answer["instance"]
        news = {each["request"]: each for each in answer["requests"]}
        updates: list[RemoteUpdate] = []
        try:
            for segment, wanted in list(self._wanted.items()):
                if wanted.request in news:
                    updates += self._update(segment, wanted, news[wanted.request])
                elif everything:
                    self._ask_again(segment)
        except ServerGoneError:
            if not updates:
                raise
            # What has come is not lost; the next poll meets the error again.
            return updates
        self._revision = answer["revision"]
        self._last_news = time.monotonic()
        return updates

    def _update(
        self, segment: str, wanted: _Wanted, answer: Mapping[str, Any]
    ) -> list[RemoteUpdate]:
        """What is new for a segment."""
        message = answer["message"] if answer["message"] != wanted.message else None
        stage, mask, error = RemoteStage.PROGRESS, None, None
        ended = answer["state"] not in ("waiting", "running")
        final = answer["mask"] == "final" and not wanted.final_seen
        if final or (answer["mask"] == "coarse" and not wanted.coarse_seen):
            try:
                data = self._connection.bytes("GET", f"requests/{wanted.request}/mask")
            except NotThereError:
                self._ask_again(segment)
                return []
            mask = unpack_mask(data)
            stage = RemoteStage.FINAL if final else RemoteStage.COARSE
            wanted.coarse_seen, wanted.final_seen = True, final
        elif answer["state"] == "done" and not wanted.final_seen:
            # Its mask is not kept any more.
            self._ask_again(segment)
            return []
        elif ended and not wanted.final_seen:
            stage = RemoteStage.FAILED
            failure = answer["error"] or {"kind": "", "error": "The server has cancelled this."}
            error = error_of(failure["kind"], failure["error"])
        wanted.message = answer["message"]
        update = RemoteUpdate(stage, segment, answer["fraction"], mask, message, error)
        if not ended:
            return [update]
        del self._wanted[segment]
        if wanted.request is not None:
            self._unneeded.append(wanted.request)
        if not wanted.to_name or error is not None:
            return [update]
        names = tuple((each["name"], each["probability"]) for each in answer["names"])
        named = RemoteUpdate(RemoteStage.NAMED, segment, 1.0, names=names)
        return [update, named] if stage is RemoteStage.FINAL else [named]
