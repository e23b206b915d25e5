"""Which replica holds a session's volumes."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

Replica = TypeVar("Replica", bound=Hashable)


class SessionHomes(Generic[Replica]):
    """Gives each session a replica, and leaves it there for as long as that replica lives.

    A new session goes to the replica with the fewest sessions. When a replica dies, only its own
    sessions move; a replica that takes its place gets new sessions, and none of the others'.

    Parameters
    ----------
    forget_seconds
        A session without requests for that long is forgotten: its volumes are, too.
    clock
        Seconds.
    """

    def __init__(self, forget_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._forget_seconds = forget_seconds
        self._clock = clock
        # Oldest use first.
        self._homes: OrderedDict[str, tuple[Replica, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._homes)

    def home_of(self, session: str, replicas: Iterable[Replica]) -> Replica:
        """Replica of a session, one of those that live; there is one at least."""
        now = self._clock()
        self._forget(now)
        alive = list(replicas)
        home = self._homes[session][0] if session in self._homes else None
        if home is None or home not in alive:
            sessions = Counter(each for each, _ in self._homes.values())
            home = min(alive, key=lambda replica: sessions[replica])
        self._homes[session] = (home, now)
        self._homes.move_to_end(session)
        return home

    def _forget(self, now: float) -> None:
        while self._homes:
            session, (_, used) = next(iter(self._homes.items()))
            if now - used <= self._forget_seconds:
                return
            del self._homes[session]
