"""How to get to an inference process: one on this computer, started here, or a server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from segvol_core.client import Connection
from segvol_core.local_server import Failed, LocalServer, Ready, Starting, Stopped
from SegVolLogic.engine import EngineState, EngineStatus
from SegVolLogic.words import tr as _


@dataclass(frozen=True)
class Address:
    """Where a process serves; another one after each start."""

    url: str
    token: str = field(repr=False)
    start: int


class Reach(Protocol):
    """A way to an inference process."""

    def start(self) -> None:
        """Begin, or begin again."""

    def stop(self) -> None:
        """End what was begun here."""

    def poll(self) -> EngineStatus:
        """How it is now."""

    @property
    def address(self) -> Address | None:
        """Where it is; None while it is not ready."""

    def connect(self, address: Address) -> Connection:
        """Connect to it; called from another thread."""


class ThisComputer:
    """A process on this computer.

    Parameters
    ----------
    make_server
        Makes the server to start, with the options of the moment.
    """

    def __init__(self, make_server: Callable[[], LocalServer]) -> None:
        self._make_server = make_server
        self._server: LocalServer | None = None
        self._starts = 0
        self._address: Address | None = None

    @property
    def address(self) -> Address | None:
        """Where it is; None while it is not ready."""
        return self._address

    def start(self) -> None:
        """Start the process, unless one is running."""
        if self._server is not None and isinstance(self._server.poll(), Starting | Ready):
            return
        self._server = self._make_server()
        self._starts += 1
        self._server.start()

    def stop(self) -> None:
        """End the process, which takes some milliseconds."""
        if self._server is not None:
            self._server.stop(wait_seconds=1.0)
        self._server = None
        self._address = None

    def poll(self) -> EngineStatus:
        """How the process is now."""
        state = Stopped() if self._server is None else self._server.poll()
        self._address = None
        if isinstance(state, Starting):
            return EngineStatus(EngineState.STARTING, _("The inference process is starting …"))
        if isinstance(state, Ready):
            self._address = Address(state.url, state.token, self._starts)
            return EngineStatus(EngineState.READY)
        if isinstance(state, Failed):
            return EngineStatus(EngineState.FAILED, state.message)
        return EngineStatus(EngineState.OFF)

    def connect(self, address: Address) -> Connection:
        """Connect to the process."""
        return Connection(address.url, address.token)


class Server:
    """A server of the department.

    Parameters
    ----------
    url, token
        As the department gave them.
    ca_file
        Certificates to trust, in PEM format; by default those that `requests` trusts.
    """

    def __init__(self, url: str, token: str, *, ca_file: str | None = None) -> None:
        self._url = url
        self._token = token
        self._ca_file = ca_file
        self._starts = 0
        self._address: Address | None = None

    @property
    def address(self) -> Address | None:
        """Where it is; None before it is wanted."""
        return self._address

    def start(self) -> None:
        """Connect anew."""
        self._starts += 1
        self._address = Address(self._url, self._token, self._starts)

    def stop(self) -> None:
        """Leave it alone; it goes on."""
        self._address = None

    def poll(self) -> EngineStatus:
        """Ready once it is wanted: whether it answers is found out by talking to it."""
        state = EngineState.OFF if self._address is None else EngineState.READY
        return EngineStatus(state)

    def connect(self, address: Address) -> Connection:
        """Connect to the server and ask it whether it takes this client.

        Raises
        ------
        SegVolError
            If the URL is not safe, or the server does not take the token or the version.
        """
        connection = Connection(address.url, address.token, ca_file=self._ca_file)
        connection.health()
        return connection
