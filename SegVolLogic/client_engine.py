"""The engine that is an inference process, on this computer or on a server."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

from segvol_core.connection import import_http
from segvol_core.volume import Volume
from SegVolLogic.engine import EngineStage, EngineState, EngineStatus, EngineUpdate, Wish
from SegVolLogic.reach import Address, Reach
from SegVolLogic.session_pump import Lost, News, Reached, SessionPump
from SegVolLogic.words import tr as _

_MAX_RESTARTS = 3
"""After so many in a row without an answer between them, starting again is left to the user."""

_YIELD_SECONDS = 0.0005
"""In Slicer a thread runs only when the main one lets it."""


class ClientEngine:
    """Masks from an inference process; see `SegVolLogic.engine.Engine`.

    What was asked for is kept here until it is answered: a process that ended and was started again
    gets the volume and the requests once more.

    A process that ends after it has served is started again by itself, a few times.

    Parameters
    ----------
    reach
        The way to the process.
    """

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._status = EngineStatus(EngineState.OFF)
        self._volume: Volume | None = None
        self._wanted: dict[str, tuple[int, Wish]] = {}
        self._unnamed: dict[str, int] = {}
        self._tickets = 0
        self._pump: SessionPump | None = None
        self._connected_to: Address | None = None
        self._lost: Lost | None = None
        self._restarts = 0
        self._imports: threading.Thread | None = None

    @property
    def status(self) -> EngineStatus:
        """As of the last poll."""
        return self._status

    def start(self) -> None:
        """Start the process, or connect to the server, again if need be."""
        self._lost = None
        self._restarts = 0
        self._reach.start()
        if self._imports is None:
            # While the process starts, and in a thread: nobody waits for it.
            self._imports = threading.Thread(target=import_http, name="SegVol import", daemon=True)
            self._imports.start()
        self._status = EngineStatus(EngineState.STARTING, _("The inference process is starting …"))

    def stop(self) -> None:
        """End the process if it was started here."""
        self._disconnect()
        self._wanted.clear()
        self._lost = None
        self._reach.stop()
        self._status = EngineStatus(EngineState.OFF)

    def use_volume(self, volume: Volume | None) -> None:
        """Send this volume, at once if the process is ready."""
        self._volume = volume
        self._wanted.clear()
        if self._lost is not None and not self._lost.tries_again:
            self._lost = None
            self._disconnect()
        if self._pump is not None:
            self._pump.use_volume(volume)

    def request(self, wanted: Mapping[str, Wish]) -> int:
        """Ask for segments, together."""
        self._tickets += 1
        self._wanted.update({key: (self._tickets, wish) for key, wish in wanted.items()})
        for segment_id in wanted:
            self._unnamed.pop(segment_id, None)
        if self._pump is not None:
            self._pump.request(self._tickets, wanted)
        return self._tickets

    def cancel(self, segment_id: str) -> None:
        """Wait for a segment no longer."""
        self._wanted.pop(segment_id, None)
        self._unnamed.pop(segment_id, None)
        if self._pump is not None:
            self._pump.cancel(segment_id)

    def has_news(self) -> bool:
        """Whether a poll would bring something; takes about a millisecond, and up to ten."""
        return self._pump is not None and self._pump.has_news()

    def poll(self) -> list[EngineUpdate]:
        """Return what is new; takes about a millisecond, and up to ten."""
        if self._imports is not None and self._imports.is_alive():
            time.sleep(_YIELD_SECONDS)
        self._status = self._reach.poll()
        if self._status.state is EngineState.FAILED and self._pump is not None:
            self._start_again(self._status.message)
        if self._status.state is not EngineState.READY:
            self._disconnect()
            return []
        address = self._reach.address
        if address is not None and address != self._connected_to:
            self._disconnect()
            self._connected_to = address
            self._pump = SessionPump(
                lambda: self._reach.connect(address), self._volume, dict(self._wanted)
            )
        news = [] if self._pump is None else self._pump.take()
        updates = [update for each in news if (update := self._heard(each)) is not None]
        if self._lost is not None:
            self._status = EngineStatus(EngineState.FAILED, str(self._lost.error))
        return updates

    def _heard(self, news: News) -> EngineUpdate | None:
        if isinstance(news, Lost):
            self._lost = news
            return None
        if isinstance(news, Reached):
            self._lost = None
            return None
        if news.stage is EngineStage.UPLOAD:
            return news
        if news.stage is EngineStage.NAMED:
            return news if self._unnamed.pop(news.segment_id, 0) == news.ticket else None
        ticket, _prompts = self._wanted.get(news.segment_id, (0, None))
        if ticket != news.ticket:
            return None
        self._restarts = 0
        if news.stage in (EngineStage.FINAL, EngineStage.FAILED):
            del self._wanted[news.segment_id]
            self._unnamed[news.segment_id] = news.ticket
        return news

    def _start_again(self, why: str) -> None:
        if self._restarts >= _MAX_RESTARTS:
            return
        self._restarts += 1
        self._reach.start()
        self._status = EngineStatus(
            EngineState.STARTING, _("{why} It is started again …").format(why=why)
        )

    def _disconnect(self) -> None:
        if self._pump is not None:
            self._pump.end()
        self._pump = None
        self._connected_to = None
