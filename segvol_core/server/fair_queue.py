"""Whose turn it is: work of several clients, each given the same share of the time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

Work = TypeVar("Work")


@dataclass
class _Client(Generic[Work]):
    seconds: float
    """Time spent on this client, with a head start so that an absence is not saved up."""
    work: list[Work] = field(default_factory=list)
    begun: list[Work] = field(default_factory=list)
    turn: int = 0


class FairQueue(Generic[Work]):
    """Pieces of work that are done step by step, and whose step comes next.

    The client for whom the least time was spent goes first. Within a client, up to `per_client`
    pieces take turns, in the order in which they came, so that one click is answered while a long
    list of organs is under way. Not more than `overall` pieces are begun at once, since each of
    them holds memory.
    """

    def __init__(self, per_client: int = 2, overall: int = 4) -> None:
        self._per_client = per_client
        self._overall = overall
        self._clients: dict[str, _Client[Work]] = {}

    def __len__(self) -> int:
        return sum(len(client.work) for client in self._clients.values())

    def add(self, client: str, work: Work) -> None:
        """Queue a piece of work for a client."""
        if client not in self._clients:
            least = min((other.seconds for other in self._clients.values()), default=0.0)
            self._clients[client] = _Client(least)
        self._clients[client].work.append(work)

    def next(self) -> tuple[str, Work] | None:
        """The client and the piece whose step comes next; None if nothing can be done."""
        begun = sum(len(client.begun) for client in self._clients.values())
        for name, client in sorted(self._clients.items(), key=lambda item: item[1].seconds):
            candidates = client.begun
            if begun < self._overall:
                candidates = client.work[: self._per_client]
            if candidates:
                chosen = candidates[client.turn % len(candidates)]
                client.turn += 1
                if chosen not in client.begun:
                    client.begun.append(chosen)
                return name, chosen
        return None

    def spend(self, client: str, seconds: float) -> None:
        """Note the time that a step for a client took."""
        if client in self._clients:
            self._clients[client].seconds += seconds

    def remove(self, client: str, work: Work) -> None:
        """Take a piece of work out, done or not; one that is not there is no error."""
        entry = self._clients.get(client)
        if entry is None or work not in entry.work:
            return
        entry.work.remove(work)
        if work in entry.begun:
            entry.begun.remove(work)
        if not entry.work:
            del self._clients[client]
