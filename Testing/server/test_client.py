"""The client: light enough for Slicer, patient with a server that is away, and never blocked."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from running_server import TOKEN, RunningServer, one_mask, running_server
from small_network import prompts_of_every_kind, small_network, small_volume

from segvol_core.client import (
    Connection,
    RemoteSession,
    RemoteStage,
    ServerError,
    ServerGoneError,
)
from segvol_core.prompts import Prompts
from segvol_core.session import Session
from segvol_core.volume import Volume
from segvol_core.wire import PROTOCOL


def run_python(code: str) -> str:
    return subprocess.run(  # noqa: S603
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True
    ).stdout


def test_importing_it_is_quick_and_brings_neither_torch_nor_the_server() -> None:
    code = """
import sys, time
begin = time.process_time()
import segvol_core.client
print(time.process_time() - begin)
print(*(name for name in ("torch", "fastapi", "uvicorn", "pydantic", "SimpleITK", "scipy")
        if name in sys.modules))
"""
    seconds, modules = zip(*(run_python(code).splitlines() for _ in range(3)), strict=True)
    assert set(modules) == {""}
    # Of processor time, so that a busy machine does not fail it; the best of three.
    assert min(map(float, seconds)) < 0.3


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8765",
        "ftp://localhost",
        "http://",
        "http://localhost:notaport",
        "http://[::1",
    ],
)
def test_what_is_no_address_is_a_sentence(url: str) -> None:
    with pytest.raises(ServerError, match="no address of a server"):
        Connection(url, TOKEN)


def test_images_go_to_other_computers_over_https_only() -> None:
    for url in ("http://server.hospital.example:8765", "http://192.168.1.5:8765"):
        with pytest.raises(ServerError, match="over https only"):
            Connection(url, TOKEN)
        assert Connection(url, TOKEN, insecure=True).url == url
    for url in ("https://server.hospital.example", "http://127.0.0.1:1", "http://[::1]:1/"):
        assert Connection(url, TOKEN).url == url.rstrip("/")


def test_a_proxy_of_the_institution_is_not_asked_for_this_computer(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert server.connect().health()["protocol"] == PROTOCOL


def test_passwords_in_netrc_do_not_replace_the_token(
    server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    connection = server.connect()
    connection._session.trust_env = True
    assert connection.health()["device"] == "cpu"


def test_a_server_that_is_not_there_is_noticed_at_once() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    begin = time.monotonic()
    with pytest.raises(ServerGoneError, match="cannot be reached"):
        Connection(f"http://127.0.0.1:{port}", TOKEN).health()
    assert time.monotonic() - begin < 2


@contextmanager
def answering(pieces: Iterator[bytes]) -> Iterator[str]:
    """Something that listens, and answers with these bytes whatever it is asked."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                try:
                    for piece in pieces:
                        connection.sendall(piece)
                except OSError:
                    return

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread.join(30)


def silence() -> Iterator[bytes]:
    time.sleep(1.0)
    yield b""


def trickle() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
    for _ in range(30):
        time.sleep(0.1)
        yield b"x"


@pytest.mark.parametrize("pieces", [silence, trickle])
def test_no_call_takes_longer_than_it_may(pieces) -> None:
    seconds = []
    for _ in range(3):
        with answering(pieces()) as url:
            connection = Connection(url, TOKEN, timeout_seconds=0.3)
            begin = time.monotonic()
            with pytest.raises(ServerGoneError, match="has not answered within"):
                connection.health()
            seconds.append(time.monotonic() - begin)
    # The best of three, so that a busy machine does not fail it.
    assert min(seconds) < 1.0


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\n\r\n<html>",
        b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\n[]",
        b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.example/\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_another_kind_of_server_is_a_sentence(answer: bytes) -> None:
    with (
        answering(iter([answer])) as url,
        pytest.raises(ServerError, match="not as a SegVol server does"),
    ):
        Connection(url, TOKEN).health()


def test_half_an_answer_is_no_answer() -> None:
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"
    with answering(iter([half])) as url, pytest.raises(ServerGoneError):
        Connection(url, TOKEN).health()


def test_a_server_started_anew_is_sent_the_volume_again_and_answers_as_before(
    volume: Volume, here: Session
) -> None:
    prompts = prompts_of_every_kind(volume)["all"]
    with running_server({"small": small_network()}) as first:
        session = RemoteSession(first.connect(), volume)
        assert np.array_equal(one_mask(session, prompts), here.mask(prompts))
        session.request({"a": prompts})
        session._send_requests()  # A poll might bring the answer, too.
    with pytest.raises(ServerGoneError):
        session.poll()
    with pytest.raises(ServerGoneError):
        session.poll()
    assert session.waiting_for == ["a"]
    with running_server({"small": small_network()}) as second:
        session.reconnect(second.connect())
        assert not session.uploaded
        finals = []
        while session.waiting_for:
            finals += [each for each in session.poll(0.5) if each.stage is RemoteStage.FINAL]
        assert np.array_equal(finals[0].mask.whole(), here.mask(prompts))


def test_a_server_started_anew_at_the_same_address_is_noticed(
    server: RunningServer, volume: Volume, here: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = prompts_of_every_kind(volume)["box"]
    session = server.session(volume)
    one_mask(session, prompts)
    session.request({"a": prompts})
    session._send_requests()
    # As a new process: nothing is known, and it is another instance.
    with server.engine._lock:
        server.engine._volumes._volumes.clear()
        server.engine._requests._requests.clear()
    monkeypatch.setattr(server.engine, "instance", "another")
    finals = []
    while session.waiting_for:
        finals += [each for each in session.poll(0.2) if each.stage is RemoteStage.FINAL]
    assert np.array_equal(finals[0].mask.whole(), here.mask(prompts))


def test_what_was_forgotten_while_this_computer_slept_is_asked_again(
    server: RunningServer, volume: Volume, here: Session
) -> None:
    prompts = prompts_of_every_kind(volume)["box"]
    session = server.session(volume)
    one_mask(session, prompts)
    session.request({"a": prompts})
    session._send_requests()
    with server.engine._lock:
        server.engine._requests._requests.clear()
    session._last_news -= 3600
    finals = []
    while session.waiting_for:
        finals += [each for each in session.poll(0.2) if each.stage is RemoteStage.FINAL]
    assert np.array_equal(finals[0].mask.whole(), here.mask(prompts))


def test_polling_with_nothing_to_do_does_nothing(server: RunningServer) -> None:
    session = server.session(small_volume(9))
    list(session.upload())
    assert session.poll() == []
    begin = time.monotonic()
    assert session.poll(5.0) == []
    assert time.monotonic() - begin < 1


def test_models_are_listed_and_chosen(volume: Volume) -> None:
    models = {"first": small_network(3), "second": small_network(2)}
    prompts = Prompts(text="liver")
    with running_server(models) as running:
        connection = running.connect()
        described = connection.models()
        assert [each["name"] for each in described] == ["first", "second"]
        assert described[0]["window"] == [8, 32, 32]
        for name, expected in (
            (None, small_network(3)),
            ("first", small_network(3)),
            ("second", small_network(2)),
        ):
            session = RemoteSession(connection, volume, model=name)
            mask = one_mask(session, prompts)
            assert np.array_equal(mask, Session(expected, volume).mask(prompts))


def test_two_volumes_share_a_connection(server: RunningServer) -> None:
    connection = server.connect()
    volumes = [small_volume(seed) for seed in (1, 2)]
    sessions = [RemoteSession(connection, volume) for volume in volumes]
    prompts = [prompts_of_every_kind(volume)["text"] for volume in volumes]
    masks: dict[int, np.ndarray] = {}
    for session, each in zip(sessions, prompts, strict=True):
        session.request({"same name": each})
    while len(masks) < 2:
        for number, session in enumerate(sessions):
            for update in session.poll(0.05):
                if update.stage is RemoteStage.FINAL:
                    masks[number] = update.mask.whole()
    for number, volume in enumerate(volumes):
        expected = Session(small_network(), volume).mask(prompts[number])
        assert np.array_equal(masks[number], expected)


def test_closing_a_session_of_a_server_that_is_gone_is_no_error(volume: Volume) -> None:
    with running_server({"small": small_network()}) as running:
        session = running.session(volume)
        list(session.upload())
    session.close()
