"""Installing, checking and removing the private packages from Slicer, without waiting.

An operation runs in a process of its own, in the chosen Python. It can be ended at any moment: what
is in the folder then is what was there, or what was to come, whole. What the process prints goes to
a log file (``packages-TIME-PID.log`` in `segvol_core.user_folders.log_folder`), and from there to
the caller, since a Python thread that reads a pipe hardly runs while Slicer idles.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

from segvol_core.bootstrap import REFUSED
from segvol_core.child_python import bootstrap_command, child_environment
from segvol_core.packages.swap import recover
from segvol_core.process_log import last_error_line, new_log_file, tail
from segvol_core.process_tree import ProcessTree, exit_reason
from segvol_core.user_folders import log_folder

Operation = Literal["install", "update", "repair", "check", "remove"]
"""
``install`` and ``update`` do nothing where everything required is there; ``repair`` does nothing
where it also works, and else installs anew; ``check`` tries what is there; ``remove`` deletes it.
The inference process must be stopped before all but ``check``.
"""


@dataclass(frozen=True)
class JobRunning:
    """At work. `lines` are those printed since the last poll."""

    lines: tuple[str, ...]


@dataclass(frozen=True)
class JobDone:
    """Ended well. `report` of a check has ``python``, ``torch`` and ``device``."""

    message: str
    lines: tuple[str, ...] = ()
    report: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class JobFailed:
    """Ended without success; the packages are what they were."""

    message: str
    log_file: Path | None
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class JobCancelled:
    """Cancelled; the packages are what they were, or the new ones if those were complete."""

    lines: tuple[str, ...] = ()


JobState = JobRunning | JobDone | JobFailed | JobCancelled


class PackageJob:
    """One operation on the private packages, running from the moment it is made.

    Nothing here waits longer than it takes to start or to kill a process. Used from one thread.

    Parameters
    ----------
    operation
        What to do.
    folder
        The folder of private packages, as `segvol_core.user_folders.packages_folder` gives it.
    python
        The Python that will use them: 3.10 or newer, PythonSlicer in Slicer.
    wheels
        Folder of wheels to install from without internet; from the package index if None.
    requirements_file
        What to install; the bundled list if None.
    constraints_file
        The versions that were tested; the bundled list if None.
    environment
        Of the process, with proxies; in Slicer, ``slicer.util.startupEnvironment()``. Of this
        process if None.
    logs
        Folder of the log files; `log_folder` if None.
    """

    def __init__(
        self,
        operation: Operation,
        folder: Path,
        python: Path,
        *,
        wheels: Path | None = None,
        requirements_file: Path | None = None,
        constraints_file: Path | None = None,
        environment: Mapping[str, str] | None = None,
        logs: Path | None = None,
    ) -> None:
        self.operation: Operation = operation
        """What is being done."""
        self._folder = folder
        self._python = python
        self._environment = child_environment(os.environ if environment is None else environment)
        self._log: Path | None = None
        self._output: BinaryIO | None = None
        self._unfinished_line = b""
        self._tree: ProcessTree | None = None
        self._after_clean_up: JobFailed | JobCancelled | None = None
        self._ended: JobState | None = None
        options: list[str] = []
        if wheels is not None:
            options += ["--wheels", str(wheels)]
        if requirements_file is not None:
            options += ["--requirements", str(requirements_file)]
        if constraints_file is not None:
            options += ["--constraints", str(constraints_file)]
        try:
            self._log = new_log_file(logs or log_folder(), "packages")
            self._tree = self._start(self._log, operation, options)
            self._output = self._log.open("rb")
        except OSError as error:
            reason = f"{self._python} cannot be started: {error.strerror or error}."
            self._ended = JobFailed(reason, None)

    @property
    def log_file(self) -> Path | None:
        """Where everything that was printed can be read; None if nothing was started."""
        return self._log

    @property
    def cancelling(self) -> bool:
        """Whether it was cancelled, and is bringing the folder in order."""
        return isinstance(self._after_clean_up, JobCancelled)

    def poll(self) -> JobState:
        """How it is now, with the lines printed since the last call. Takes some milliseconds."""
        if self._ended is not None:
            return self._ended
        exit_code = None if self._tree is None else self._tree.poll()
        lines = self._new_lines()
        if exit_code is None:
            return JobRunning(lines)
        return self._look_at_end(exit_code, lines)

    def cancel(self) -> None:
        """End the operation at once; `poll` then tells when everything is in order again."""
        if self._ended is None and self._after_clean_up is None:
            self._clean_up(JobCancelled())

    def _start(self, log: Path, operation: str, options: list[str]) -> ProcessTree:
        command = bootstrap_command(
            self._python,
            None,
            "segvol_core.packages.program",
            operation,
            *("--folder", str(self._folder)),
            *("--python", str(self._python)),
            *("--result", str(_result_file(log))),
            *options,
            ends_with_input=True,
        )
        return ProcessTree(command, environment=self._environment, output=log)

    def _look_at_end(self, exit_code: int, lines: tuple[str, ...]) -> JobState:
        if self._after_clean_up is not None:
            return self._end(self._after_clean_up, lines)
        outcome = self._read_result()
        if outcome is None:
            failed = JobFailed(self._reason(exit_code), self._log)
            if exit_code == REFUSED:
                return self._end(failed, lines)
            self._clean_up(failed)
            return JobRunning(lines)
        if "error" in outcome:
            message = f"{outcome['error']} The log is {self._log}."
            return self._end(JobFailed(message, self._log), lines)
        message = str(outcome.pop("message"))
        return self._end(JobDone(message, report=outcome), lines)

    def _clean_up(self, then: JobFailed | JobCancelled) -> None:
        """End what runs, bring the folder in order, and have leftovers deleted meanwhile."""
        self._after_clean_up = then
        if self._tree is None or self._log is None:
            return
        self._tree.kill()
        # What is here after this line is whole, even if nothing else can be started any more.
        recover(self._folder)
        with contextlib.suppress(OSError):
            self._tree = self._start(self._log, "clean", [])

    def _end(self, state: JobState, lines: tuple[str, ...]) -> JobState:
        """Keep how it ended, and give it with the last lines, once."""
        if self._output is not None:
            self._output.close()
            self._output = None
        if self._log is not None:
            _result_file(self._log).unlink(missing_ok=True)
        self._ended = state
        return type(state)(**{**vars(state), "lines": lines})

    def _read_result(self) -> dict[str, Any] | None:
        if self._log is None:
            return None
        try:
            outcome = json.loads(_result_file(self._log).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return outcome if isinstance(outcome, dict) else None

    def _reason(self, exit_code: int) -> str:
        if self._log is None:
            return "Nothing was started."
        lines = tail(self._log)
        if exit_code == REFUSED and lines:
            return lines[-1]
        error = last_error_line(self._log)
        said = f": {error.rstrip('.')}" if error else ""
        return (
            f"Changing the packages ended unexpectedly ({exit_reason(exit_code)}){said}. "
            f"The log is {self._log}."
        )

    def _new_lines(self) -> tuple[str, ...]:
        if self._output is None:
            return ()
        *complete, self._unfinished_line = (self._unfinished_line + self._output.read()).split(
            b"\n"
        )
        return tuple(line.decode("utf-8", errors="replace").rstrip() for line in complete)


def _result_file(log: Path) -> Path:
    return log.with_suffix(".result.json")
