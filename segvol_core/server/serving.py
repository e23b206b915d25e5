"""Listen, answer, and end: the server as a process."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from segvol_core.devices import choose_device
from segvol_core.errors import SegVolError
from segvol_core.memory_errors import is_out_of_memory
from segvol_core.model.segvol import SegVol
from segvol_core.server.address import Address
from segvol_core.server.engine import Engine
from segvol_core.weights import load_model

_HEADER_BYTES = 16 * 1024
_KEEP_ALIVE_SECONDS = 75
_GRACE_SECONDS = 1
_CONNECTIONS = 512

_log = logging.getLogger(__name__)


def load_models(weights: Sequence[str], device: str) -> tuple[dict[str, SegVol], str]:
    """Load networks on a device, and say which device it is.

    A network from a file goes by the file's name without its folder.

    Raises
    ------
    SegVolError
        If there is no such device.
    WeightsError
        If weights cannot be loaded, or two go by the same name.
    """
    target = choose_device(device)
    models: dict[str, SegVol] = {}
    for each in weights:
        name = Path(each).name
        if name in models:
            raise SegVolError(f"Two of the weights are called {name}.")
        try:
            models[name] = load_model(each, target)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            if target.type == "cpu":
                raise SegVolError(
                    "The computer's memory does not suffice for the network."
                ) from error
            raise SegVolError(
                f"The memory of {target} does not suffice for the network: use --device cpu."
            ) from error
    return models, str(target)


class HttpServer(uvicorn.Server):
    """An application that listens.

    `run` serves until `should_exit` is set or the process is told to end (Ctrl-C, SIGTERM).

    Parameters
    ----------
    app
        The application.
    on_ready
        Called with the server's URL once it serves.

    Attributes
    ----------
    url
        Where it listens.

    Raises
    ------
    SegVolError
        If the address cannot be used, or certificate and key do not fit.
    """

    def __init__(self, app: ASGIApp, address: Address, on_ready: Callable[[str], None]) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            # h11 bounds the size of headers, which httptools does not.
            http="h11",
            ws="none",
            h11_max_incomplete_event_size=_HEADER_BYTES,
            limit_concurrency=_CONNECTIONS,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            ssl_certfile=address.tls_cert,
            ssl_keyfile=address.tls_key,
        )
        try:
            config.load()
        except (OSError, ValueError) as error:
            raise SegVolError(f"The TLS certificate or its key cannot be used: {error}.") from error
        super().__init__(config)
        self._on_ready = on_ready
        self._listening = _listen(address)
        self.url = address.url_of(self._listening.getsockname()[1])

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve."""
        with self._listening:
            super().run(sockets or [self._listening])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve, and say so."""
        await super().startup(sockets)
        if self.started:
            _log.info("serving")
            self._on_ready(self.url)


def serve(app: FastAPI, address: Address, on_ready: Callable[[str], None]) -> None:
    """Serve until the process is told to end; see `HttpServer`."""
    server = HttpServer(app, address, on_ready)
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    engine: Engine = app.state.engine
    if engine.working:
        # Python cannot end while another thread is inside PyTorch.
        logging.shutdown()
        os._exit(0)


def _listen(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    # With its protocol named, asyncio sends answers at once and not 40 ms later (TCP_NODELAY).
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address.host, address.port))
    except (OSError, OverflowError) as error:
        listening.close()
        raise SegVolError(
            f"The server cannot listen on {address.host}, port {address.port}: {error}."
        ) from error
    return listening
