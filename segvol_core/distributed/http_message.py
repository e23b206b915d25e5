"""One HTTP request and its answer as values, to be handed from process to process."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True)
class HttpRequest:
    """A request with all of its body.

    Attributes
    ----------
    method, path, query
        As in ASGI.
    headers
        Names in lower case.
    """

    method: str
    path: str
    query: bytes
    headers: Headers
    body: bytes

    def header(self, name: str) -> str:
        """Value of a header; empty if there is none."""
        wanted = name.lower().encode()
        return next((value.decode("latin-1") for key, value in self.headers if key == wanted), "")


@dataclass(frozen=True)
class HttpAnswer:
    """An answer with all of its body."""

    status: int
    headers: Headers
    body: bytes

    def messages(self) -> list[Message]:
        """What an ASGI application sends."""
        return [
            {"type": "http.response.start", "status": self.status, "headers": list(self.headers)},
            {"type": "http.response.body", "body": self.body},
        ]


async def received_request(scope: Scope, receive: Receive) -> HttpRequest | None:
    """Receive a request to its end; None if the client goes away before."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    headers = tuple((bytes(key), bytes(value)) for key, value in scope["headers"])
    return HttpRequest(scope["method"], scope["path"], scope["query_string"], headers, bytes(body))


async def answer_of(app: ASGIApp, request: HttpRequest) -> HttpAnswer:
    """Let an ASGI application answer a request."""
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "method": request.method,
        "path": request.path,
        "raw_path": request.path.encode(),
        "query_string": request.query,
        "root_path": "",
        "headers": list(request.headers),
        "client": None,
        "server": None,
    }
    coming: list[Message] = [{"type": "http.request", "body": request.body, "more_body": False}]
    sent: list[Message] = []

    async def receive() -> Message:
        return coming.pop() if coming else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start, *rest = sent
    body = b"".join(message.get("body", b"") for message in rest)
    return HttpAnswer(start["status"], tuple(start.get("headers", ())), body)
