"""What listens for `segvol serve --ray`: it checks a message, and passes it on to a replica."""

from __future__ import annotations

import asyncio
import re
from typing import Any, cast

from ray.exceptions import RayActorError
from ray.serve.exceptions import RayServeException
from starlette.types import Receive, Scope, Send

from segvol_core.distributed.http_message import HttpAnswer, HttpRequest, received_request
from segvol_core.server.failures import Failure
from segvol_core.wire import CLIENT_HEADER, MAX_WAIT_SECONDS

_ANSWER_SECONDS = 4.0
"""A client gives up after five, and learns nothing then."""
_CLIENT = re.compile(r"[A-Za-z0-9_-]{16,64}")


class Front:
    """ASGI application that passes every message on; a session is what one client asks.

    When the replica with a client's volumes dies, the client is told to try again. It finds itself
    at another replica then, which does not know its volumes, and sends them again: the protocol
    knows that from a server that was started anew.

    Parameters
    ----------
    replicas
        Ray Serve's handle of them.
    """

    def __init__(self, replicas: Any) -> None:
        self._replicas = replicas

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one message on, and its answer back."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        request = await received_request(scope, receive)
        if request is None:
            return
        for message in (await self._answer(request)).messages():
            await send(message)

    async def _answer(self, request: HttpRequest) -> HttpAnswer:
        client = request.header(CLIENT_HEADER)
        session = client if _CLIENT.fullmatch(client) else ""
        waits = MAX_WAIT_SECONDS if b"wait=" in request.query else 0.0
        handle = self._replicas.options(session_id=session)
        try:
            answer = await asyncio.wait_for(handle.answer.remote(request), _ANSWER_SECONDS + waits)
        except (RayActorError, RayServeException, asyncio.TimeoutError) as error:
            raise Failure(
                503,
                "busy",
                "A process of the server has ended or is overloaded: try again in a moment.",
                {"Retry-After": "1"},
            ) from error
        return cast("HttpAnswer", answer)


async def _live(receive: Receive, send: Send) -> None:
    """Say that there is nothing to start or to stop."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
