"""The inference process of the user's own machine: started, watched and ended, without waiting.

The process is ``segvol serve`` in a Python of the user's choice, on 127.0.0.1 and a port that is
free, with a random token. It is told its token, and tells its address, in a folder that only this
user can read and that is gone as soon as it serves. It ends when this process ends, in whatever
way: its input is a pipe from here, and it is told this process's id.

Every start writes two files in `log_folder`: the server's own log (``server-TIME-PID.log``, rotated
by the server) and, beside it, what else the process printed (``….console.txt``); those of the last
five starts are kept.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segvol_core.bootstrap import REFUSED
from segvol_core.child_python import bootstrap_command, child_environment
from segvol_core.process_log import last_error_line, new_log_file, tail
from segvol_core.process_tree import ProcessTree, exit_reason
from segvol_core.user_folders import log_folder

_RUN_PREFIX = "segvol-run-"
_STALE_SECONDS = 3600.0
_LOOPBACK = "http://127.0.0.1:"


@dataclass(frozen=True)
class Starting:
    """The process runs and does not serve yet; `seconds` since it was started."""

    seconds: float


@dataclass(frozen=True)
class Ready:
    """The process serves at `url` for whoever has the token; it is segvol of `version`."""

    url: str
    token: str = field(repr=False)
    version: str
    pid: int


@dataclass(frozen=True)
class Failed:
    """The process could not start, or ended by itself; `message` is for the user."""

    message: str
    log_file: Path | None


@dataclass(frozen=True)
class Stopped:
    """There is no process: not started yet, or stopped."""


ServerState = Starting | Ready | Failed | Stopped


class LocalServer:
    """One inference process, or none.

    Nothing here waits, apart from `stop`. Call `poll` about once a second: a process that ended is
    noticed by the next call. Used from one thread.

    Parameters
    ----------
    python
        The Python to run it in: 3.10 or newer, PythonSlicer in Slicer.
    packages
        Folder of the private packages, or None where that Python has what is needed itself.
    weights, device
        As in ``segvol serve``.
    memory_mb
        For all volumes and what is computed from them; half of this computer's if None.
    environment
        Of the process; in Slicer, ``slicer.util.startupEnvironment()``. Of this process if None.
    logs
        Folder of the log files; `log_folder` if None.
    startup_seconds
        After so long it has failed to start. Importing torch from a slow disk that a virus scanner
        watches has been seen to take more than a minute.
    """

    def __init__(
        self,
        python: Path,
        packages: Path | None = None,
        *,
        weights: str = "starter",
        device: str = "auto",
        memory_mb: int | None = None,
        environment: Mapping[str, str] | None = None,
        logs: Path | None = None,
        startup_seconds: float = 300.0,
    ) -> None:
        self._python = python
        self._packages = packages
        memory = () if memory_mb is None else ("--memory-mb", str(memory_mb))
        self._options = ("--weights", weights, "--device", device, *memory)
        self._environment = dict(os.environ if environment is None else environment)
        self._logs = logs
        self._startup_seconds = startup_seconds
        self._state: ServerState = Stopped()
        self._tree: ProcessTree | None = None
        self._run_folder: Path | None = None
        self._log = Path()
        self._console = Path()
        self._token = ""
        self._started = 0.0

    def start(self) -> ServerState:
        """Start the process, unless one is starting or ready, and return at once."""
        if isinstance(self.poll(), Starting | Ready):
            return self._state
        _remove_stale_run_folders()
        self._started = time.monotonic()
        self._token = secrets.token_urlsafe(32)
        try:
            self._log = new_log_file(self._logs or log_folder(), "server")
            self._console = self._log.with_suffix(".console.txt")
            # Made for this user alone (0700; on Windows in the user's own temporary folder).
            self._run_folder = Path(tempfile.mkdtemp(prefix=_RUN_PREFIX))
            _write_secret(self._run_folder / "token", self._token)
        except OSError as error:
            self._remove_run_folder()
            self._state = Failed(f"The inference process cannot be started: {error}.", None)
            return self._state
        try:
            self._tree = ProcessTree(
                self._command(self._run_folder),
                environment=child_environment(self._environment),
                output=self._console,
            )
        except OSError as error:
            self._remove_run_folder()
            reason = error.strerror or error
            self._state = Failed(f"{self._python} cannot be started: {reason}.", None)
            return self._state
        self._state = Starting(0.0)
        return self._state

    def poll(self) -> ServerState:
        """How it is now. Takes well under a millisecond while nothing has changed."""
        if isinstance(self._state, Starting):
            self._look_at_start()
        elif isinstance(self._state, Ready):
            self._look_at_end("The inference process ended unexpectedly")
        elif self._tree is not None:  # ended by `stop`, which did not wait long enough
            self._forget_if_gone(self._tree)
        return self._state

    def stop(self, wait_seconds: float = 5.0) -> None:
        """End the process and everything it started, and remove its files; the logs stay.

        It holds nothing that would have to be saved, so it is not asked. Returns when it is gone, a
        matter of milliseconds as a rule, at the latest after `wait_seconds`.
        """
        self._end(wait_seconds)
        self._state = Stopped()

    def __enter__(self) -> LocalServer:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def _command(self, run_folder: Path) -> list[str]:
        return bootstrap_command(
            self._python,
            self._packages,
            "segvol_core.cli",
            "serve",
            *("--host", "127.0.0.1", "--port", "0"),
            *("--token-file", str(run_folder / "token")),
            *("--ready-file", str(run_folder / "ready.json")),
            *("--parent-pid", str(os.getpid())),
            *("--log-file", str(self._log)),
            *self._options,
            ends_with_input=True,
        )

    def _look_at_start(self) -> None:
        answer = self._read_ready_file()
        if answer is None:
            seconds = time.monotonic() - self._started
            if self._look_at_end("The inference process did not start"):
                return
            if seconds > self._startup_seconds:
                self._fail(
                    f"The inference process did not start within {self._startup_seconds:.0f} s"
                )
            else:
                self._state = Starting(seconds)
        elif "error" in answer:
            self._fail("The inference process did not start", str(answer["error"]))
        else:
            try:
                ready = Ready(
                    url=str(answer["url"]),
                    token=self._token,
                    version=str(answer["version"]),
                    pid=int(answer["pid"]),
                )
            except (KeyError, TypeError, ValueError):
                ready = None
            if ready is None or not ready.url.startswith(_LOOPBACK):
                self._fail("The inference process did not start", "it gave no address")
                return
            self._remove_run_folder()
            self._state = ready

    def _read_ready_file(self) -> dict[str, Any] | None:
        if self._run_folder is None:
            return None
        try:
            answer = json.loads((self._run_folder / "ready.json").read_text(encoding="utf-8"))
        except OSError:  # not there yet, or on Windows in the moment of being renamed
            return None
        except ValueError:
            return {}
        return answer if isinstance(answer, dict) else {}

    def _look_at_end(self, what: str) -> bool:
        exit_code = None if self._tree is None else self._tree.poll()
        if exit_code is None:
            return False
        # Its last act may have been to say why.
        answer = self._read_ready_file()
        lines = tail(self._console)
        if answer is not None and "error" in answer:
            self._fail(what, str(answer["error"]))
        elif exit_code == REFUSED and lines:
            self._fail(what, lines[-1])
        else:
            self._fail(f"{what} ({exit_reason(exit_code)})")
        return True

    def _fail(self, what: str, reason: str | None = None) -> None:
        self._end(wait_seconds=0.5)
        log = self._log
        for file in (self._console, self._log):
            if reason is None and (reason := last_error_line(file)) is not None:
                log = file
        if not log.exists():
            log = self._console
        sentence = f"{what}: {reason.rstrip('.')}." if reason else f"{what}."
        self._state = Failed(f"{sentence} The log is {log}.", log)

    def _end(self, wait_seconds: float) -> None:
        if self._tree is not None:
            self._tree.kill(wait_seconds)
            self._forget_if_gone(self._tree)
        self._remove_run_folder()

    def _forget_if_gone(self, tree: ProcessTree) -> None:
        if tree.poll() is not None:
            self._tree = None

    def _remove_run_folder(self) -> None:
        if self._run_folder is not None:
            shutil.rmtree(self._run_folder, ignore_errors=True)
            self._run_folder = None


def _write_secret(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="ascii") as file:  # noqa: PTH123 - no path, a descriptor
        file.write(text)


def _remove_stale_run_folders() -> None:
    """Remove what a process that was killed while its server started has left behind."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_RUN_PREFIX}*"):
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
