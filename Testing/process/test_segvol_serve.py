"""The real `segvol serve`, started, asked, killed and ended as Slicer does it."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
import requests
from small_network import small_network
from stand_ins import is_running, kill_once_written, state_after_start, wait_until

from segvol_core import __version__
from segvol_core.local_server import Failed, Ready, Stopped
from segvol_core.weights import save_model

START_SECONDS = 240.0


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_model(small_network(), path)
    return str(path)


def ask(ready: Ready, token: str) -> int:
    with requests.Session() as session:
        session.trust_env = False  # no proxy
        headers = {"Authorization": f"Bearer {token}", "X-SegVol-Client": "a-client-for-tests"}
        answer = session.get(f"{ready.url}/v1/health", headers=headers, timeout=30)
    return answer.status_code


def test_it_serves_whoever_has_the_token_and_its_end_is_noticed(start_server, weights):
    server = start_server(Path(sys.executable), weights=weights, device="cpu")
    ready = state_after_start(server, START_SECONDS)
    assert isinstance(ready, Ready), ready
    assert ready.version == __version__
    assert ask(ready, ready.token) == 200
    assert ask(ready, "wrong") == 401
    os.kill(ready.pid, signal.SIGKILL)
    wait_until(lambda: isinstance(server.poll(), Failed), 2.0)

    server.start()
    again = state_after_start(server, START_SECONDS)
    assert ask(again, again.token) == 200
    server.stop()
    assert server.poll() == Stopped()
    assert not is_running(again.pid)


def test_it_ends_when_slicer_is_killed(tmp_path, weights):
    code = (
        "import pathlib, time\n"
        "from segvol_core.local_server import LocalServer, Starting\n"
        f"server = LocalServer(pathlib.Path({sys.executable!r}), weights={weights!r})\n"
        "server.start()\n"
        "while isinstance(state := server.poll(), Starting): time.sleep(0.05)\n"
        f"path = pathlib.Path({str(tmp_path / 'pid')!r})\n"
        "path.with_suffix('.new').write_text(str(state.pid))\n"
        "path.with_suffix('.new').rename(path)\n"
        "time.sleep(600)"
    )
    server = int(kill_once_written(code, tmp_path / "pid", START_SECONDS))
    wait_until(lambda: not is_running(server), 2.0)


def test_weights_that_are_not_there_are_said(start_server):
    server = start_server(Path(sys.executable), weights="/no/such/weights.pth")
    failed = state_after_start(server, START_SECONDS)
    assert failed.message.startswith("The inference process did not start: ")
    assert "weights.pth" in failed.message
    assert failed.message.endswith(f" The log is {failed.log_file}.")
