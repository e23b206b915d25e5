"""`segvol serve --ray` on a real cluster of two replicas: its users notice nothing of them."""

from __future__ import annotations

import os
import signal
import socket
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import grpc
import numpy as np
import pytest
import requests
from ray_processes import (
    command_line,
    environment,
    is_running,
    listening_addresses,
    pids_of,
    replica_pids,
)
from running_server import TOKEN, one_mask, until
from server_process import Process
from small_network import prompts_of_every_kind, small_network, small_volume

from segvol_core.client import RemoteSession, RemoteStage
from segvol_core.session import Session
from segvol_core.volume import Volume
from segvol_core.weights import save_model

pytestmark = [
    pytest.mark.ray,
    pytest.mark.skipif(sys.platform != "linux", reason="images stay in /dev/shm"),
]

REFUSED = grpc.StatusCode.UNAUTHENTICATED
MEMORY = Path("/dev/shm")  # noqa: S108


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_model(small_network(), path)
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, weights: Path) -> Iterator[Process]:
    options = ("--ray", "", "--replicas", 2, "--weights", weights, "--memory-mb", 512)
    process = Process(tmp_path_factory.mktemp("ray") / "server", *options)
    try:
        process.ready()
        yield process
    finally:
        process.end()


def instance(session: RemoteSession) -> str:
    """Which replica answers a session."""
    return str(session._connection.json("GET", "requests")["instance"])


def two_sessions_apart(server: Process, first: Volume, second: Volume) -> list[RemoteSession]:
    sessions = [RemoteSession(server.connect(), volume) for volume in (first, second)]
    assert instance(sessions[0]) != instance(sessions[1])
    return sessions


def test_two_users_get_a_replica_each_and_the_masks_they_would_get_alone(server: Process) -> None:
    volumes = [small_volume(0), small_volume(1, (16, 40, 44))]
    sessions = two_sessions_apart(server, *volumes)
    for session, volume in zip(sessions, volumes, strict=True):
        here = Session(small_network(), volume)
        home = instance(session)
        for prompts in prompts_of_every_kind(volume).values():
            assert np.array_equal(one_mask(session, prompts), here.mask(prompts))
            assert instance(session) == home
        assert session.uploaded
        session.close()


def test_a_replica_that_is_killed_costs_its_users_time_only(server: Process) -> None:
    volumes = [small_volume(2), small_volume(3)]
    sessions = two_sessions_apart(server, *volumes)
    prompts = [prompts_of_every_kind(volume)["text and box"] for volume in volumes]
    expected = [
        Session(small_network(), volume).mask(each)
        for volume, each in zip(volumes, prompts, strict=True)
    ]
    for session, each, mask in zip(sessions, prompts, expected, strict=True):
        assert np.array_equal(one_mask(session, each), mask)

    before = replica_pids(server.popen.pid)
    assert len(before) == 2
    os.kill(before[0], signal.SIGKILL)
    sent_again = 0
    for session, each, mask in zip(sessions, prompts, expected, strict=True):
        finals = []
        for update in session.segment({"segment": each}):
            assert update.error is None
            sent_again += update.stage is RemoteStage.UPLOAD and update.fraction == 1
            if update.stage is RemoteStage.FINAL:
                finals.append(update.mask.whole())
        assert len(finals) == 1
        assert np.array_equal(finals[0], mask)
    assert sent_again == 1  # The other user's volume stayed where it was.

    # Another takes its place, gets the next user, and nobody moves.
    homes = {instance(session) for session in sessions}
    until(lambda: len(replica_pids(server.popen.pid)) == 2, 120)
    newcomer = RemoteSession(server.connect(), small_volume(4))
    begin = time.monotonic()
    while instance(newcomer) in homes and time.monotonic() - begin < 120:
        newcomer = RemoteSession(server.connect(), small_volume(4))
        time.sleep(0.2)
    assert instance(newcomer) not in homes
    assert {instance(session) for session in sessions} == homes


def test_token_and_limits_are_those_of_the_plain_server(server: Process) -> None:
    url = str(server.ready()["url"])
    bearer = {"Authorization": f"Bearer {TOKEN}"}

    def status(method: str, path: str, **options: object) -> int:
        return requests.request(method, url + path, timeout=60, **options).status_code

    assert status("GET", "/v1/health") == 401
    assert status("GET", "/v1/health", headers={"Authorization": "Bearer wrong"}) == 401
    assert status("GET", "/openapi.json") == 401
    assert status("GET", "/v1/health", headers=bearer) == 200
    assert status("GET", "/openapi.json", headers=bearer) == 200
    assert status("GET", "/no/such/route", headers=bearer) == 404
    assert status("GET", "/v1/health", headers={**bearer, "X-SegVol-Protocol": "99"}) == 426
    assert status("POST", "/v1/volumes", headers=bearer, data=b" " * 2**21) == 413
    assert status("GET", "/v1/requests", headers={**bearer, "X-SegVol-Client": "short"}) == 422
    with socket.create_connection(("127.0.0.1", urlsplit(url).port), timeout=60) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX-Large: " + b"x" * 2**15)
        assert connection.recv(100).startswith(b"HTTP/1.1 400")


def test_nothing_of_it_can_be_reached_without_a_token(server: Process) -> None:
    elsewhere = [
        (pid, address, port)
        for pid, address, port in listening_addresses(pids_of(server.popen.pid))
        if address not in ("127.0.0.1", "::ffff:127.0.0.1", "::1")
    ]
    # Of Ray's ports only those between deployments are open to the network; they want its token.
    assert {pid for pid, *_ in elsewhere} <= set(replica_pids(server.popen.pid))
    for _, _, port in elsewhere:
        assert called(f"127.0.0.1:{port}", "ray.serve.ASGIService/HandleRequest") == REFUSED
    command = [word for pid in pids_of(server.popen.pid) for word in command_line(pid)]
    (control,) = {word.partition("=")[2] for word in command if word.startswith("--gcs-address=")}
    asked = "ray.rpc.NodeInfoGcsService/GetClusterId"
    assert called(control, asked) == REFUSED
    assert called(control, asked, "wrong" * 8) == REFUSED
    (token,) = {
        environment(pid)["RAY_AUTH_TOKEN"]
        for pid in pids_of(server.popen.pid)
        if "RAY_AUTH_TOKEN" in environment(pid)
    }
    assert called(control, asked, token) is None


def called(address: str, method: str, token: str = "") -> grpc.StatusCode | None:
    """Why a call is refused, or None."""
    metadata = [("authorization", f"Bearer {token}")] if token else []
    with grpc.insecure_channel(address) as channel:
        try:
            channel.unary_unary(f"/{method}")(b"", timeout=60, metadata=metadata)
        except grpc.RpcError as error:
            return error.code()
    return None


def test_logs_have_nothing_of_a_patient_and_lie_in_memory(server: Process) -> None:
    session = RemoteSession(server.connect(), small_volume(5))
    session.request({"Smith^John": prompts_of_every_kind(small_volume(5))["point"]})
    while session.waiting_for:
        session.poll(0.5)
    (folder,) = MEMORY.glob("segvol-ray-*")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    logs = [path for path in folder.rglob("*") if path.is_file()]
    own = list(server.folder.glob("*.log"))
    assert {path.name for path in own} >= {"server.log", "server.replica-0.log"}
    assert len(logs) > 10
    for path in (*logs, *own):
        assert b"Smith" not in path.read_bytes(), path
    assert not Path("/tmp/ray").exists()  # noqa: S108


def test_ended_it_leaves_no_process_and_no_file(server: Process) -> None:
    processes = pids_of(server.popen.pid)
    assert len(processes) > 5
    server.popen.send_signal(signal.SIGINT)
    said = server.popen.communicate(timeout=120)
    assert server.popen.returncode in (0, 130), said
    assert b"Error" not in said[1]
    until(lambda: not any(is_running(pid) for pid in processes), 60)
    until(lambda: not list(MEMORY.glob("segvol-ray-*")), 60)
