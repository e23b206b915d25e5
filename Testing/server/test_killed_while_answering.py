"""A server that is killed in the middle of an answer: half an answer is never taken for one."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from running_server import TOKEN, RunningServer
from server_process import Process
from small_network import prompts_of_every_kind, small_network, small_volume

from segvol_core.client import Connection, RemoteSession, RemoteStage, ServerGoneError
from segvol_core.session import Session
from segvol_core.weights import save_model


class KillingLine:
    """A line to a server that kills it once so much of the answer with a mask has passed.

    Bytes that the server had sent before it died and that lie behind the cut are lost with it, as
    on a real line.
    """

    def __init__(self, server: Process, cut: str) -> None:
        self._server = server
        self._port = urlsplit(str(server.ready()["url"])).port
        self._cut = cut
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.killed = 0.0

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                with client, socket.create_connection(("127.0.0.1", self._port)) as server:
                    self._pass_on(client, server)

    def close(self) -> None:
        self._listening.close()

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        while not self.killed:
            request = read_message(client)
            if not request:
                return
            server.sendall(request)
            if not request.partition(b" HTTP/")[0].endswith(b"/mask"):
                client.sendall(read_message(server))
                continue
            begun = server.recv(1)
            self._server.popen.kill()
            self._server.popen.wait()
            answer = begun + read_message(server)
            self.killed = time.monotonic()
            client.sendall(answer[: self._bytes_of(answer)])

    def _bytes_of(self, answer: bytes) -> int:
        head = answer.index(b"\r\n\r\n") + 4
        return {
            "in the headers": head // 2,
            "in the mask": (head + len(answer)) // 2,
            "one byte before the end": len(answer) - 1,
        }[self._cut]


def read_message(connection: socket.socket) -> bytes:
    """A whole HTTP message, or what comes of it; after its first byte, the rest."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return data
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    missing = (int(lengths[0].partition(b":")[2]) if lengths else 0) - len(body)
    while missing > 0 and (piece := connection.recv(65536)):
        data += piece
        missing -= len(piece)
    return data


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    weights = tmp_path / "small.safetensors"
    save_model(small_network(), weights)
    process = Process(tmp_path / "server", "--weights", weights)
    yield process
    process.end()


def poll_for_ever(session: RemoteSession, masks: list[object]) -> None:
    while True:
        masks += [update.mask for update in session.poll(0.2) if update.mask is not None]


@pytest.mark.parametrize("cut", ["in the headers", "in the mask", "one byte before the end"])
def test_half_an_answer_is_noticed_and_the_same_prompt_gives_the_same_mask(
    process: Process, server: RunningServer, cut: str
) -> None:
    volume = small_volume(9, (24, 80, 80))
    prompts = prompts_of_every_kind(volume)["text"]
    line = KillingLine(process, cut)
    thread = threading.Thread(target=line.serve, daemon=True)
    thread.start()
    session = RemoteSession(Connection(line.url, TOKEN, timeout_seconds=60.0), volume)
    session.request({"segment": prompts})
    masks: list[object] = []
    with pytest.raises(ServerGoneError):
        poll_for_ever(session, masks)
    assert time.monotonic() - line.killed < 2
    assert masks == []
    assert session.waiting_for == ["segment"]
    line.close()

    session.reconnect(server.connect())
    finals = []
    while session.waiting_for:
        finals += [each for each in session.poll(0.5) if each.stage is RemoteStage.FINAL]
    assert len(finals) == 1
    assert np.array_equal(finals[0].mask.whole(), Session(small_network(), volume).mask(prompts))
