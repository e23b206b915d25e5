"""The inference process of the user's own machine, with small programs in its place."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
import venv
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stand_ins import is_running, kill_once_written, script, state_after_start, wait_until
from yardstick import import_cost, python

from segvol_core.local_server import Failed, LocalServer, Ready, Starting, Stopped
from segvol_core.process_log import last_error_line
from segvol_core.user_folders import log_folder

NOTICED_WITHIN_SECONDS = 2.0


def test_starting_returns_at_once(stand_in, start_server):
    python = stand_in("never ready").python
    seconds = []
    for _ in range(3):
        before = time.monotonic()
        server = start_server(python)
        seconds.append(time.monotonic() - before)
        assert isinstance(server.poll(), Starting)
    # The best of three, so that a busy machine does not fail it.
    assert min(seconds) < 0.25


def test_the_address_comes_with_a_poll(stand_in, start_server):
    scene = stand_in()
    ready = state_after_start(start_server(scene.python))
    assert ready == Ready(
        "http://127.0.0.1:1", scene.read("seen")["token"], "9.9", scene.read("seen")["pid"]
    )
    assert len(ready.token) >= 32


def test_it_is_asked_to_serve_this_computer_alone_and_told_whose_child_it_is(
    stand_in, start_server
):
    scene = stand_in()
    state_after_start(start_server(scene.python, weights="segvol", device="cpu"))
    command = " ".join(scene.read("seen")["arguments"])
    assert "segvol_core.cli serve --host 127.0.0.1 --port 0 " in command
    assert f"--parent-pid {os.getpid()} " in command
    assert command.endswith("--weights segvol --device cpu")


def test_the_token_is_for_this_user_only_and_not_on_the_command_line(stand_in, start_server):
    scene = stand_in()
    ready = state_after_start(start_server(scene.python))
    seen = scene.read("seen")
    assert (seen["token_mode"], seen["folder_mode"]) == ("0o600", "0o700")
    assert ready.token not in str(seen["arguments"]) + str(seen["environment"]) + repr(ready)
    for log in log_folder().iterdir():
        assert ready.token not in log.read_text()


def test_every_start_has_a_token_of_its_own(stand_in, start_server):
    python = stand_in().python
    tokens = {state_after_start(start_server(python)).token for _ in range(3)}
    assert len(tokens) == 3


def test_nothing_is_left_in_the_temporary_folder_once_it_serves(stand_in, start_server, temporary):
    server = start_server(stand_in().python)
    assert list(temporary.iterdir()) != []
    state_after_start(server)
    assert list(temporary.iterdir()) == []


def test_the_python_paths_of_the_application_are_not_inherited(stand_in, start_server):
    scene = stand_in()
    environment = {
        **os.environ,
        "PYTHONPATH": "/Slicer/lib",
        "PYTHONHOME": "/Slicer",
        "HTTPS_PROXY": "http://proxy:3128",
    }
    state_after_start(start_server(scene.python, environment=environment))
    seen = scene.read("seen")["environment"]
    assert "PYTHONPATH" not in seen
    assert "PYTHONHOME" not in seen
    assert seen["PYTHONNOUSERSITE"] == "1"
    assert seen["HTTPS_PROXY"] == "http://proxy:3128"


def children_of(pid: int) -> set[int]:
    """Processes that a process has started, those included that ended and were not waited for."""
    children = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it may be gone by now
            parent = status.read_text().rpartition(")")[2].split()[1]
            if int(parent) == pid:
                children.add(int(status.parent.name))
    return children


@pytest.mark.parametrize("launcher", [False, True], ids=["python", "launcher"])
def test_stopping_ends_the_process_and_all_it_started(stand_in, start_server, launcher):
    scene = stand_in("starts others", launcher=launcher)
    before_start = children_of(os.getpid())
    server = start_server(scene.python)
    ready = state_after_start(server)
    processes = [ready.pid, *scene.read("others")]
    assert children_of(os.getpid()) != before_start
    assert all(map(is_running, processes))
    before = time.monotonic()
    server.stop()
    assert time.monotonic() - before < 1.0
    assert server.poll() == Stopped()
    wait_until(lambda: not any(map(is_running, processes)), 1.0)
    # No zombie: children of other tests, such as multiprocessing's tracker, may be there.
    assert not [child for child in children_of(os.getpid()) if child not in before_start]


def test_stopping_while_it_starts_leaves_nothing(stand_in, start_server, temporary):
    scene = stand_in("never ready")
    server = start_server(scene.python)
    pid = scene.read("seen")["pid"]
    server.stop()
    assert server.poll() == Stopped()
    wait_until(lambda: not is_running(pid), 1.0)
    assert list(temporary.iterdir()) == []


def test_stopping_what_does_not_run_is_nothing(tmp_path):
    server = LocalServer(tmp_path / "python")
    server.stop()
    server.stop()
    assert server.poll() == Stopped()


@pytest.mark.parametrize("launcher", [False, True], ids=["python", "launcher"])
def test_a_killed_process_is_noticed_said_and_can_be_started_again(
    stand_in, start_server, launcher
):
    scene = stand_in("starts others", launcher=launcher)
    server = start_server(scene.python)
    ready = state_after_start(server)
    others = scene.read("others")
    os.kill(ready.pid, signal.SIGKILL)
    wait_until(lambda: isinstance(server.poll(), Failed), NOTICED_WITHIN_SECONDS)
    failed = server.poll()
    assert failed.message.startswith("The inference process ended unexpectedly (")
    assert f"The log is {failed.log_file}." in failed.message
    wait_until(lambda: not any(map(is_running, others)), 1.0)

    server.start()
    again = state_after_start(server)
    assert again.pid != ready.pid
    assert again.token != ready.token


def test_a_killed_launcher_takes_the_real_process_with_it(stand_in, start_server):
    scene = stand_in(launcher=True)
    server = start_server(scene.python)
    ready = state_after_start(server)
    launcher = scene.read("seen")["session"]
    assert launcher != ready.pid
    os.kill(launcher, signal.SIGKILL)
    wait_until(lambda: isinstance(server.poll(), Failed), NOTICED_WITHIN_SECONDS)
    assert "SIGKILL, as the system does when memory runs out" in server.poll().message
    wait_until(lambda: not is_running(ready.pid), 1.0)


def test_starting_twice_keeps_the_one_that_runs(stand_in, start_server):
    server = start_server(stand_in().python)
    ready = state_after_start(server)
    assert server.start() is ready


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ("raises", "(exit code 1): ModuleNotFoundError: No module named 'torch'."),
        ("exits without a word", "(exit code 7)."),
        ("crashes in native code", "(ended by SIGSEGV): Fatal Python error: Segmentation fault."),
        ("logs an error and exits", "ERROR The GPU's driver is too old for this torch."),
        ("says why and exits", ": The weights starter.safetensors are damaged."),
        ("says why and stays", ": The weights starter.safetensors are damaged."),
        ("gives no JSON", ": it gave no address."),
        ("gives a foreign address", ": it gave no address."),
    ],
)
def test_a_failed_start_is_one_sentence_and_the_place_of_the_log(
    stand_in, start_server, temporary, behaviour, reason
):
    scene = stand_in(behaviour)
    server = start_server(scene.python)
    failed = state_after_start(server)
    assert isinstance(failed, Failed)
    assert failed.message.startswith("The inference process did not start")
    assert reason in failed.message
    assert failed.message.endswith(f" The log is {failed.log_file}.")
    assert failed.log_file.exists()
    assert "\n" not in failed.message
    wait_until(lambda: not is_running(scene.read("seen")["pid"]), 1.0)
    assert list(temporary.iterdir()) == []


def test_a_start_that_takes_too_long_is_given_up(stand_in, start_server):
    scene = stand_in("never ready")
    server = start_server(scene.python, startup_seconds=1.0)
    pid = scene.read("seen")["pid"]  # It runs, however long that took.
    failed = state_after_start(server)
    assert "did not start within 1 s. The log is" in failed.message
    wait_until(lambda: not is_running(pid), 1.0)


def test_a_python_that_is_not_there_or_not_a_program_is_said(start_server, tmp_path):
    server = start_server(tmp_path / "nowhere" / "python")
    assert (
        server.poll().message
        == f"{tmp_path}/nowhere/python cannot be started: No such file or directory."
    )
    (tmp_path / "text").write_text("not a program")
    assert (
        "text cannot be started: Permission denied."
        in start_server(tmp_path / "text").poll().message
    )


def test_a_log_folder_that_cannot_be_made_is_said(stand_in, start_server, tmp_path):
    (tmp_path / "file").write_text("")
    server = start_server(stand_in().python, logs=tmp_path / "file" / "log")
    assert server.poll().message.startswith("The inference process cannot be started: ")


def test_a_python_that_is_too_old_is_said(start_server, tmp_path):
    old = script(
        tmp_path / "python",
        "import runpy, sys\n"
        "sys.version_info = (3, 9, 10, 'final', 0)\n"
        "del sys.argv[0]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')",
    )
    failed = state_after_start(start_server(old))
    assert "SegVol needs Python 3.10 or newer; " in failed.message
    assert " is Python 3.9." in failed.message


def test_a_python_without_the_packages_is_said(start_server, tmp_path):
    venv.create(tmp_path / "bare", with_pip=False)
    failed = state_after_start(start_server(tmp_path / "bare" / "bin" / "python"))
    assert "ModuleNotFoundError: No module named 'typer'." in failed.message


def test_the_process_ends_when_slicer_is_killed_even_before_it_could_watch(tmp_path, temporary):
    """The chosen Python has nothing but a module that sleeps where torch would be imported."""
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "typer.py").write_text(
        "import os, pathlib, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"path = pathlib.Path({str(tmp_path / 'pids')!r})\n"
        "path.with_suffix('.new').write_text(f'{os.getpid()} {child.pid}')\n"
        "path.with_suffix('.new').rename(path)\n"
        "time.sleep(60)\n"
    )
    code = (
        "import time\n"
        "from segvol_core.local_server import LocalServer\n"
        f"server = LocalServer({sys.executable!r}, {str(packages)!r})\n"
        "server.start()\n"
        "time.sleep(60)"
    )
    pids = kill_once_written(code, tmp_path / "pids")
    processes = [int(pid) for pid in pids.split()]
    wait_until(lambda: not any(map(is_running, processes)), NOTICED_WITHIN_SECONDS)

    # Its token could not be removed any more. The next start, later, does it.
    (left,) = temporary.iterdir()
    os.utime(left, (time.time() - 7200, time.time() - 7200))
    LocalServer(tmp_path / "nothing").start()
    assert list(temporary.iterdir()) == []


def test_only_the_logs_of_the_last_starts_are_kept(stand_in, start_server):
    python = stand_in("raises").python
    (log_folder()).mkdir(parents=True)
    (log_folder() / "server-20200101-000000.000000-1.log.1").write_text("rotated")
    (log_folder() / "server-20200101-000000.000000-1.log").write_text("")
    (log_folder() / "install-20200101-000000.000000-1.log").write_text("of another kind")
    for _ in range(8):
        server = start_server(python)
        log = state_after_start(server).log_file
        (log_folder() / log.name.replace(".console.txt", ".log")).touch()
        server.stop()
    names = sorted(path.name for path in log_folder().iterdir())
    assert sum(name.startswith("server-") for name in names) == 10  # a log and a console each
    assert [name for name in names if "20200101" in name] == [
        "install-20200101-000000.000000-1.log"
    ]


@given(st.lists(st.text(alphabet=st.characters(exclude_characters="\r\n")), max_size=20))
@settings(max_examples=50, deadline=None)
def test_the_error_line_of_any_log_is_one_short_line(tmp_path_factory, lines):
    log = tmp_path_factory.mktemp("log") / "log"
    log.write_bytes("\n".join([*lines, "ValueError: " + "x" * 1000]).encode("utf-8", "replace"))
    line = last_error_line(log)
    assert line is not None
    assert len(line) < 400
    assert "\n" not in line


def test_polling_costs_next_to_nothing(stand_in, start_server):
    server = start_server(stand_in().python)
    state_after_start(server)
    start = time.process_time()
    for _ in range(1000):
        server.poll()
    assert time.process_time() - start < 0.2


def test_slicers_side_imports_fast_and_needs_nothing_that_slicer_lacks():
    modules = "segvol_core.local_server, segvol_core.packages.job"
    assert import_cost(modules) < 1.2
    names = python(f"import sys, {modules}; print(*(n.partition('.')[0] for n in sys.modules))")
    allowed = {*sys.stdlib_module_names, "segvol_core", "numpy", "requests"}
    ours = {name for name in names.split() if not name.startswith(("_", "sitecustomize"))}
    assert ours - allowed <= {"distutils-precedence"}
