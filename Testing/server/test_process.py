"""`segvol serve` as a process: how it starts, why it does not, how it ends with its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from running_server import until
from server_process import Process
from small_network import prompts_of_every_kind, small_network, small_volume

from segvol_core import __version__
from segvol_core.client import RemoteSession, RemoteStage, ServerGoneError
from segvol_core.server.parent import _wait_for_process
from segvol_core.session import Session
from segvol_core.weights import save_model

posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")

# Slicer, which starts the server and then does something else.
PARENT = """
import subprocess, sys, time
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE)
print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_model(small_network(), path)
    return path


@pytest.fixture
def start(tmp_path: Path, weights: Path) -> Iterator[Callable[..., Process]]:
    started: list[Process] = []

    def start_one(*options: object, **extra: tuple[str, ...]) -> Process:
        folder = tmp_path / str(len(started))
        started.append(Process(folder, "--weights", weights, *options, **extra))
        return started[-1]

    yield start_one
    for process in started:
        process.end()


def exists(pid: int) -> bool:
    """Whether a process lives; one that has ended and was not waited for does not."""
    try:
        os.kill(pid, 0)
        return (
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
            != "Z"
        )
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        return not Path("/proc/self").exists()


@posix
def test_a_server_lives_and_is_killed_and_another_gives_the_same_mask(
    start: Callable[..., Process],
) -> None:
    volume = small_volume(shape=(24, 80, 80))
    prompts = prompts_of_every_kind(volume)["text"]
    expected = Session(small_network(), volume).mask(prompts)
    first, second, third = start(), start(), start()

    # Killed while a volume is half sent.
    answer = first.ready()
    assert answer == {"url": answer["url"], "pid": first.popen.pid, "version": __version__}
    assert str(answer["url"]).startswith("http://127.0.0.1:")
    session = RemoteSession(first.connect(), volume, chunk_bytes=64 * 1024)
    session.request({"Smith^John": prompts})
    session._upload.send_for(0)
    assert 0 < session._upload.fraction < 1
    first.popen.kill()
    assert_noticed(session)
    session.reconnect(second.connect())

    # Killed while it computes.
    until(lambda: any(update.stage is RemoteStage.COARSE for update in session.poll(0.2)))
    second.popen.kill()
    assert_noticed(session)
    session.reconnect(third.connect())

    finals = []
    while session.waiting_for:
        finals += [each for each in session.poll(0.5) if each.stage is RemoteStage.FINAL]
    assert len(finals) == 1
    assert np.array_equal(finals[0].mask.whole(), expected)

    # Told to end, as by Ctrl-C.
    third.popen.send_signal(signal.SIGINT)
    _, said = third.popen.communicate(timeout=60)
    assert said == b""
    assert third.popen.returncode in (0, 130)
    log = third.log_file.read_text()
    assert "serving" in log
    assert "Smith" not in log
    files = {path.name for path in third.folder.iterdir()}
    assert files == {"token", "ready.json", "server.log"}


def assert_noticed(session: RemoteSession) -> None:
    begin = time.monotonic()
    with pytest.raises(ServerGoneError):
        poll_for_ever(session)
    assert time.monotonic() - begin < 2


def poll_for_ever(session: RemoteSession) -> None:
    while True:
        session.poll()


@posix
def test_it_ends_when_its_parent_is_killed(tmp_path: Path, start: Callable[..., Process]) -> None:
    # By the parent's number, and by the end of the pipe from it.
    parent = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    by_number = start("--parent-pid", parent.pid)
    by_pipe = start("--end-with-stdin", "", inside=(sys.executable, "-c", PARENT))
    try:
        assert by_pipe.popen.stdout is not None
        child = int(by_pipe.popen.stdout.readline())
        by_number.ready()
        by_pipe.ready()
        assert by_number.popen.poll() is None
        assert exists(child)
        parent.kill()
        by_pipe.popen.kill()
        killed = time.monotonic()
        until(lambda: by_number.popen.poll() is not None and not exists(child), 30)
        assert time.monotonic() - killed < 2
        assert not by_number.ready_file.exists()
    finally:
        parent.kill()
        parent.wait()


@posix
def test_a_parent_that_has_ended_already_is_noticed(start: Callable[..., Process]) -> None:
    parent = subprocess.Popen([sys.executable, "-c", ""])
    parent.wait()
    process = start("--parent-pid", parent.pid)
    assert process.popen.wait(120) == 0
    assert not process.ready_file.exists()


@posix
def test_without_help_of_the_kernel_the_parent_is_looked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def not_here(*_: object) -> int:
        raise OSError

    monkeypatch.setattr(os, "pidfd_open", not_here, raising=False)
    parent = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    watching = threading.Thread(target=_wait_for_process(parent.pid))
    watching.start()
    watching.join(0.5)
    assert watching.is_alive()
    parent.kill()
    parent.wait()
    watching.join(2)
    assert not watching.is_alive()


@posix
def test_why_it_does_not_start_is_one_sentence_for_whoever_started_it(
    start: Callable[..., Process], tmp_path: Path
) -> None:
    processes = {
        "There are no weights and no file named none": start("--weights", "none"),
        "can be reached from other computers": start("--host", "0.0.0.0"),  # noqa: S104
        "The token cannot be read": start("--token-file", tmp_path / "no-token"),
    }
    for sentence, process in processes.items():
        error = process.ready()["error"]
        assert sentence in str(error)
        _, said = process.popen.communicate(timeout=120)
        assert process.popen.returncode == 2
        assert sentence in said.decode()
        assert sentence in process.log_file.read_text()


def test_why_it_does_not_start_is_said_once_where_nobody_asked_for_a_log(tmp_path: Path) -> None:
    for options in (("--weights", "none"), ("--log-file", tmp_path)):
        done = subprocess.run(  # noqa: S603  # Our own program.
            [sys.executable, "-m", "segvol_core.cli", "serve", "--port", "0", *map(str, options)],
            capture_output=True,
            check=False,
            encoding="utf-8",
        )
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert line.startswith("Error: ")
