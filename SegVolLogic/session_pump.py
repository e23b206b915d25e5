"""A thread that talks to an inference process, so that Slicer's own never waits for a network.

In Slicer a Python thread runs only when the main one lets it, which `SessionPump.has_news` and
`take` do: for a moment, and longer while the thread is on its way to a mask, as each of its steps
would else wait for the next moment. What takes long here (sending chunks, waiting for answers)
needs no Python meanwhile.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping

from segvol_core.client import Connection, RemoteSession, RemoteUpdate
from segvol_core.connection import ServerGoneError
from segvol_core.errors import SegVolError
from segvol_core.volume import Volume
from SegVolLogic.engine import EngineUpdate, Wish
from SegVolLogic.voxel_change import ExtentMask

_NEWS_SECONDS = 0.04
"""How long one question for news stays open: a new request waits for it at most so long."""
_IDLE_SECONDS = 0.25
_RETRY_SECONDS = 1.0
_YIELD_SECONDS = 0.0005
_ON_ITS_WAY_SECONDS = 0.01
"""How long the thread is let run at once: a server on this computer answers sooner."""

Connect = Callable[[], Connection]


class Lost:
    """The server cannot be used; `error` says why. If `tries_again`, it may come back by itself."""

    def __init__(self, error: SegVolError, *, tries_again: bool) -> None:
        self.error = error
        self.tries_again = tries_again


class Reached:
    """The server answers."""


News = EngineUpdate | Lost | Reached


class SessionPump:
    """Sends a volume and requests to a server, and collects what it answers, in a thread.

    Parameters
    ----------
    connect
        Makes the connection, in the thread.
    volume
        To send at once; None for nothing yet.
    wanted
        What has been asked for already: tickets and wishes by segment.
    """

    def __init__(
        self,
        connect: Connect,
        volume: Volume | None,
        wanted: Mapping[str, tuple[int, Wish]],
    ) -> None:
        self._connect = connect
        self._volume = volume
        self._unsent = [(ticket, {key: each}) for key, (ticket, each) in wanted.items()]
        self._commands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._news: queue.SimpleQueue[News] = queue.SimpleQueue()
        self._connection: Connection | None = None
        self._session: RemoteSession | None = None
        self._tickets: dict[str, int] = {}
        self._stuck = False
        self._reached = False
        self._ended = False
        self._resting = threading.Event()
        # A daemon: an application that quits does not wait for a server.
        self._thread = threading.Thread(target=self._run, name="SegVol client", daemon=True)
        self._thread.start()

    def use_volume(self, volume: Volume | None) -> None:
        """Send another volume in place of the one that there is."""
        self._command(lambda: self._use_volume(volume))

    def request(self, ticket: int, wanted: Mapping[str, Wish]) -> None:
        """Ask for segments, together."""
        self._command(lambda: self._request(ticket, wanted))

    def cancel(self, segment_id: str) -> None:
        """Wait for a segment no longer."""
        self._command(lambda: self._cancel(segment_id))

    def end(self) -> None:
        """End the thread in its own time; the server forgets the volume."""
        self._command(self._end)

    def has_news(self) -> bool:
        """Whether there is something to take, perhaps after letting the thread run."""
        if self._news.empty():
            time.sleep(_YIELD_SECONDS)
            self._resting.wait(_ON_ITS_WAY_SECONDS)
        return not self._news.empty()

    def take(self) -> list[News]:
        """Return what is new, perhaps after letting the thread run."""
        self.has_news()
        news = []
        with contextlib.suppress(queue.Empty):
            while True:
                news.append(self._news.get_nowait())
        return news

    def _command(self, command: Callable[[], None]) -> None:
        self._resting.clear()
        self._commands.put(command)

    # All below runs in the thread.

    def _run(self) -> None:
        while not self._ended:
            command = self._next_command()
            if command is not None:
                command()
            elif self._busy:
                self._work()
        self._resting.set()

    def _next_command(self) -> Callable[[], None] | None:
        with contextlib.suppress(queue.Empty):
            return self._commands.get_nowait()
        if not self._busy:
            with contextlib.suppress(queue.Empty), self._rest():
                return self._commands.get(timeout=_IDLE_SECONDS)
        return None

    @contextlib.contextmanager
    def _rest(self) -> Iterator[None]:
        """What is done within needs no Python for long: nobody is to wait for it."""
        self._resting.set()
        try:
            yield
        finally:
            self._resting.clear()

    @property
    def _busy(self) -> bool:
        if self._stuck:
            return False
        session = self._session
        if session is None:
            return self._connection is None or self._volume is not None
        # The first polls of a session send the volume, so that prompts find it there.
        return bool(session.waiting_for) or not session.uploaded

    def _work(self) -> None:
        try:
            updates = self._progress()
        except ServerGoneError as error:
            self._reached = False
            self._news.put(Lost(error, tries_again=True))
            with self._rest():
                time.sleep(_RETRY_SECONDS)
            return
        except SegVolError as error:
            # The server does not take the volume, the token or this client: asking again is vain.
            self._stuck = True
            self._reached = False
            self._news.put(Lost(error, tries_again=False))
            return
        if not self._reached:
            self._reached = True
            self._news.put(Reached())
        for update in updates:
            self._news.put(self._translated(update))

    def _progress(self) -> list[RemoteUpdate]:
        """Do the next thing that there is to do."""
        if self._connection is None:
            with self._rest():
                self._connection = self._connect()
            return []
        if self._session is None:
            if self._volume is not None:
                self._session = RemoteSession(self._connection, self._volume)
                for ticket, wanted in self._unsent:
                    self._request(ticket, wanted)
                self._unsent.clear()
            return []
        if not self._session.uploaded:
            with self._rest():
                return self._session.poll()
        return self._session.poll(_NEWS_SECONDS, self._rest)

    def _translated(self, update: RemoteUpdate) -> EngineUpdate:
        segment_id = update.segment or ""
        mask = None
        if update.mask is not None:
            mask = ExtentMask(update.mask.low_kji, update.mask.voxels)
        return EngineUpdate(
            update.stage,
            self._tickets.get(segment_id, 0),
            segment_id,
            update.fraction,
            mask,
            update.message or "",
            update.error,
            update.names,
        )

    def _use_volume(self, volume: Volume | None) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None
        self._volume = volume
        self._unsent.clear()
        self._tickets.clear()
        self._stuck = False

    def _request(self, ticket: int, wanted: Mapping[str, Wish]) -> None:
        if self._session is None:
            self._unsent.append((ticket, dict(wanted)))
        else:
            self._tickets.update(dict.fromkeys(wanted, ticket))
            self._session.request(
                {key: wish.prompts for key, wish in wanted.items()},
                to_name=[key for key, wish in wanted.items() if wish.prompts.text is None],
                keep_largest=[key for key, wish in wanted.items() if wish.keep_largest],
            )

    def _cancel(self, segment_id: str) -> None:
        for _, wanted in self._unsent:
            wanted.pop(segment_id, None)
        if self._session is not None:
            self._session.cancel(segment_id)

    def _end(self) -> None:
        self._ended = True
        if self._session is not None:
            self._session.close()
        if self._connection is not None:
            self._connection.close()
