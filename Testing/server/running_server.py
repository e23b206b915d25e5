"""A real server on loopback, in a thread of the test's own process."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import requests

from segvol_core.client import Connection, RemoteSession, RemoteStage, RemoteUpdate
from segvol_core.model.segvol import SegVol
from segvol_core.prompts import Prompts
from segvol_core.server.address import Address
from segvol_core.server.application import create_app
from segvol_core.server.engine import Engine
from segvol_core.server.serving import HttpServer
from segvol_core.server.settings import Settings
from segvol_core.volume import Volume
from segvol_core.wire import CLIENT_HEADER

TOKEN = "a-token-for-tests-only"  # noqa: S105
CLIENT = "a-client-for-tests"


@dataclass
class RunningServer:
    url: str
    engine: Engine
    connections: list[Connection] = field(default_factory=list)

    def connect(self, **options: Any) -> Connection:
        # Generous, for machines that run other things beside the tests.
        connection = Connection(self.url, TOKEN, **{"timeout_seconds": 60.0, **options})
        self.connections.append(connection)
        return connection

    def session(self, volume: Volume, **options: Any) -> RemoteSession:
        return RemoteSession(self.connect(), volume, **options)

    def call(
        self, method: str, path: str, headers: dict[str, str] | None = None, **options: Any
    ) -> requests.Response:
        """A request as any program could make it."""
        sent = {"Authorization": f"Bearer {TOKEN}", CLIENT_HEADER: CLIENT, **(headers or {})}
        return requests.request(method, f"{self.url}{path}", headers=sent, timeout=60, **options)


@contextlib.contextmanager
def running_server(
    models: dict[str, SegVol], address: Address | None = None, **settings: Any
) -> Iterator[RunningServer]:
    limits = Settings(**{"memory_bytes": 2**30, "encode_ahead": False, **settings})
    engine = Engine(models, limits, "cpu")
    ready = threading.Event()
    app = create_app(engine, TOKEN)
    server = HttpServer(app, address or Address("127.0.0.1", 0), lambda _: ready.set())
    thread = threading.Thread(target=server.run)
    thread.start()
    running = RunningServer(server.url, engine)
    try:
        assert ready.wait(60)
        yield running
    finally:
        for connection in running.connections:
            connection.close()
        server.should_exit = True
        thread.join(60)
        assert not thread.is_alive()


class StepByStep:
    """Holds the image encoder back until a test lets it go on: one step is one window.

    Attributes
    ----------
    windows
        That have been let go on.
    """

    def __init__(self, model: SegVol) -> None:
        self._changed = threading.Condition()
        self._allowed, self._waiting, self._open = 0, 0, False
        self.windows = 0
        self._hook = model.image_encoder.register_forward_pre_hook(self._wait)

    @property
    def held(self) -> bool:
        """Whether the encoder has come to a window that it may not go on with."""
        with self._changed:
            return not self._open and self._waiting > self._allowed

    def allow(self, windows: int) -> None:
        with self._changed:
            self._allowed += windows
            self._changed.notify_all()

    def release(self) -> None:
        with self._changed:
            self._open = True
            self._changed.notify_all()

    def remove(self) -> None:
        self.release()
        self._hook.remove()

    def _wait(self, *_: object) -> None:
        with self._changed:
            self._waiting += 1
            self._changed.wait_for(lambda: self._open or self._allowed)
            self._waiting -= 1
            self._allowed = max(0, self._allowed - 1)
            self.windows += 1


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)


def final_masks(updates: Iterator[RemoteUpdate]) -> dict[str, Any]:
    masks = {}
    for update in updates:
        assert update.error is None, update.error
        if update.stage is RemoteStage.FINAL:
            masks[update.segment] = update.mask.whole()
    return masks


def one_mask(session: RemoteSession, prompts: Prompts) -> Any:
    return final_masks(session.segment({"segment": prompts}))["segment"]
