"""What every message passes before any route sees it: token, version, size; and faults after it."""

from __future__ import annotations

import logging
import traceback

from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from segvol_core import __version__
from segvol_core.server.authentication import is_authorized
from segvol_core.server.failures import Failure
from segvol_core.wire import MAX_CHUNK_BYTES, PROTOCOL, PROTOCOL_HEADER

_log = logging.getLogger(__name__)


class Gate:
    """ASGI middleware round the whole application.

    Parameters
    ----------
    app
        What is behind it.
    token
        What every message must bring.
    max_json_bytes
        Limit of a body; that of a PUT, which is a chunk, is `MAX_CHUNK_BYTES`.
    """

    def __init__(self, app: ASGIApp, token: str, max_json_bytes: int) -> None:
        self._app = app
        self._token = token
        self._max_json_bytes = max_json_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a message in, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answering = False

        async def noted_send(message: Message) -> None:
            nonlocal answering
            answering = True
            await send(message)

        try:
            limit = MAX_CHUNK_BYTES if scope["method"] == "PUT" else self._max_json_bytes
            self._check(dict(scope["headers"]), limit)
            await self._app(scope, _limited(receive, limit), noted_send)
        except ClientDisconnect:
            _log.info("a client went away in the middle of a message")
        except Failure as failure:
            await failure_response(failure)(scope, receive, send)
        except Exception as error:  # noqa: BLE001  # Last place that can put it in words.
            # What the exception says is not logged: it may hold something of a patient.
            where = "".join(traceback.format_tb(error.__traceback__))
            _log.error("%s\n%s", type(error).__name__, where)
            if not answering:
                sentence = "A fault of the program; the server's log says where."
                await failure_response(Failure(500, "fault", sentence))(scope, receive, send)

    def _check(self, headers: dict[bytes, bytes], limit: int) -> None:
        authorization = headers.get(b"authorization")
        if not is_authorized(authorization, self._token):
            given = "this is not it" if authorization else "none was given"
            raise Failure(
                401,
                "token",
                f"The server needs its token, and {given}.",
                {"WWW-Authenticate": "Bearer"},
            )
        protocol = headers.get(PROTOCOL_HEADER.lower().encode())
        if protocol is not None and protocol != str(PROTOCOL).encode():
            raise Failure(
                426,
                "version",
                f"Client and server are of versions that do not fit: the server is SegVol "
                f"{__version__} (protocol {PROTOCOL}). Install the same version on both.",
                {"Upgrade": f"segvol/{PROTOCOL}", "Connection": "Upgrade"},
            )
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length[:20]) > limit:
            raise _too_large(limit)


def failure_response(failure: Failure) -> JSONResponse:
    """Return what a client gets to read."""
    return JSONResponse(
        {"error": failure.sentence, "kind": failure.kind}, failure.status_code, failure.headers
    )


def _limited(receive: Receive, limit: int) -> Receive:
    """Count what comes, since a message need not say how long it is."""
    received = 0

    async def counted() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise _too_large(limit)
        return message

    return counted


def _too_large(limit: int) -> Failure:
    return Failure(413, "too_large", f"A message of this kind has {limit} bytes at most.")
