"""A child process together with everything that it starts, ended as one.

PythonSlicer is a launcher that starts the real Python, so that ending the child alone would leave
the process that matters. On POSIX the tree is a session with a process group of its own, on Windows
a job object, and ``taskkill`` besides for where that was refused.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

if sys.platform == "win32":
    from segvol_core.windows_job import WindowsJob

    _CREATION_FLAGS = subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP
else:
    _CREATION_FLAGS = 0


class ProcessTree:
    """A running child with a pipe to its input that closes when this process ends.

    Parameters
    ----------
    command
        Program and arguments.
    environment
        The whole environment of the child.
    output
        File to which output and errors are appended; its folder is the child's working folder, so
        that the child keeps no folder of the user busy.

    Raises
    ------
    OSError
        If the program cannot be started.
    """

    def __init__(
        self, command: Sequence[str], *, environment: Mapping[str, str], output: Path
    ) -> None:
        self._exit_code: int | None = None
        with output.open("ab") as file:
            self._process = subprocess.Popen(  # noqa: S603 - our own program, without a shell
                command,
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=output.parent,
                env=dict(environment),
                start_new_session=True,
                creationflags=_CREATION_FLAGS,
            )
        if sys.platform == "win32":
            self._job: WindowsJob | None = None
            with contextlib.suppress(OSError):
                self._job = WindowsJob()
                self._job.add(self._process.pid)

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._process.pid

    def poll(self) -> int | None:
        """Exit code once the child has ended (minus the signal on POSIX), and None before.

        What the child started and left behind is ended then.
        """
        if self._exit_code is None and self._process.poll() is not None:
            self._end_tree()
            self._finish()
        return self._exit_code

    def kill(self, wait_seconds: float = 5.0) -> None:
        """End the whole tree at once, and wait until the child is gone, as a rule some ms."""
        if self.poll() is not None:
            return
        self._end_tree()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(wait_seconds)
            self._finish()

    def _finish(self) -> None:
        self._exit_code = self._process.returncode
        if self._process.stdin is not None:
            # Closing can only fail on what was never written.
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def _end_tree(self) -> None:
        if sys.platform == "win32":
            _taskkill(self._process.pid)
            if self._job is not None:
                self._job.end()
        else:
            # The group outlives its leader. Without members it is gone (ESRCH), and on macOS a
            # group of which only zombies are left refuses (EPERM).
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)


if sys.platform == "win32":

    def _taskkill(pid: int) -> None:
        program = Path(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "taskkill.exe")
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(  # noqa: S603 - Windows' own program
                [program, "/F", "/T", "/PID", str(pid)],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                creationflags=subprocess.CREATE_NO_WINDOW,
                timeout=5.0,
            )


def exit_reason(exit_code: int) -> str:
    """Say an exit code as a person would: the signal's name on POSIX, and what it often means."""
    if exit_code < 0:
        try:
            name = signal.Signals(-exit_code).name
        except ValueError:
            name = f"signal {-exit_code}"
        if name == "SIGKILL":
            return "ended by SIGKILL, as the system does when memory runs out"
        return f"ended by {name}"
    return f"exit code {exit_code}"
