"""The application answers a message that was handed over as it answers one from a socket."""

from __future__ import annotations

import asyncio

from running_server import CLIENT, TOKEN, RunningServer, running_server
from small_network import small_network

from segvol_core.distributed.http_message import (
    HttpAnswer,
    HttpRequest,
    answer_of,
    received_request,
)
from segvol_core.server.application import create_app
from segvol_core.wire import CLIENT_HEADER


def asked(server: RunningServer, request: HttpRequest) -> HttpAnswer:
    return asyncio.run(answer_of(create_app(server.engine, TOKEN), request))


def test_an_answer_is_the_same_as_over_http() -> None:
    token = (b"authorization", f"Bearer {TOKEN}".encode())
    with running_server({"small": small_network()}) as server:
        client = (CLIENT_HEADER.lower().encode(), CLIENT.encode())
        for method, path, headers, body in (
            ("GET", "/v1/health", (token,), b""),
            ("GET", "/v1/health", (), b""),
            ("GET", "/v1/models", (token,), b""),
            ("GET", "/openapi.json", (token,), b""),
            ("POST", "/v1/volumes", (token, (b"content-type", b"application/json")), b"{}"),
            ("GET", "/no/such/route", (token,), b""),
        ):
            answer = asked(server, HttpRequest(method, path, b"", (client, *headers), body))
            over_http = server.call(
                method,
                path,
                headers={"Authorization": ""}
                | {key.decode().title(): value.decode() for key, value in headers},
                data=body,
            )
            assert (answer.status, answer.body) == (over_http.status_code, over_http.content)


def test_a_message_is_received_to_its_end() -> None:
    pieces = [
        {"type": "http.request", "body": b"half ", "more_body": True},
        {"type": "http.request", "body": b"and half", "more_body": False},
    ]
    scope = {"method": "PUT", "path": "/x", "query_string": b"a=1", "headers": [(b"a", b"b")]}

    async def receive() -> dict[str, object]:
        return pieces.pop(0)

    request = asyncio.run(received_request(scope, receive))
    assert request == HttpRequest("PUT", "/x", b"a=1", ((b"a", b"b"),), b"half and half")
    assert request.header("A") == "b"
    assert request.header("none") == ""


def test_a_client_that_goes_away_has_sent_no_message() -> None:
    async def receive() -> dict[str, object]:
        return {"type": "http.disconnect"}

    assert asyncio.run(received_request({"headers": []}, receive)) is None
