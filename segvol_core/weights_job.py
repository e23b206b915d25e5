"""Downloading the published weights from Slicer, without waiting.

The download runs in a process of its own, in the Python and with the packages of the inference
process. It can be cancelled at any moment; the next one goes on where it ended.
What the process prints goes to a log file (``weights-TIME-PID.log`` in
`segvol_core.user_folders.log_folder`), and from there to the caller.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from segvol_core.child_python import bootstrap_command, child_environment
from segvol_core.process_log import last_error_line, new_log_file
from segvol_core.process_tree import ProcessTree, exit_reason
from segvol_core.user_folders import log_folder


@dataclass(frozen=True)
class WeightsRunning:
    """At work: the part of the step that is done, 0 to 1, and how many bytes it is of how many."""

    step: str = "start"
    done_bytes: int = 0
    total_bytes: int = 0

    @property
    def fraction(self) -> float | None:
        """Part that is done, 0 to 1; None while that is not known."""
        return self.done_bytes / self.total_bytes if self.total_bytes else None


@dataclass(frozen=True)
class WeightsDone:
    """The weights are at `path`, complete and checked."""

    path: Path


@dataclass(frozen=True)
class WeightsFailed:
    """There are no new weights; `message` is for the user."""

    message: str


@dataclass(frozen=True)
class WeightsCancelled:
    """Cancelled; what was fetched is kept for the next time."""


WeightsState = WeightsRunning | WeightsDone | WeightsFailed | WeightsCancelled


class WeightsJob:
    """One download, running from the moment it is made. Used from one thread.

    Parameters
    ----------
    python
        The Python to run it in.
    packages
        Folder of the private packages, or None where that Python has what is needed itself.
    environment
        Of the process, with proxies; in Slicer, ``slicer.util.startupEnvironment()``. Of this
        process if None.
    logs
        Folder of the log files; `log_folder` if None.
    """

    def __init__(
        self,
        python: Path,
        packages: Path | None,
        *,
        environment: Mapping[str, str] | None = None,
        logs: Path | None = None,
    ) -> None:
        self._state: WeightsState = WeightsRunning()
        self._tree: ProcessTree | None = None
        self._output: BinaryIO | None = None
        self._unfinished_line = b""
        try:
            self._log = new_log_file(logs or log_folder(), "weights")
            self._tree = ProcessTree(
                bootstrap_command(
                    python, packages, "segvol_core.weights_program", ends_with_input=True
                ),
                environment=child_environment(os.environ if environment is None else environment),
                output=self._log,
            )
            self._output = self._log.open("rb")
        except OSError as error:
            self._state = WeightsFailed(f"{python} cannot be started: {error.strerror or error}.")

    def poll(self) -> WeightsState:
        """How it is now. Takes about a millisecond."""
        if not isinstance(self._state, WeightsRunning) or self._tree is None:
            return self._state
        exit_code = self._tree.poll()
        for line in self._new_lines():
            self._state = _state_of(line) or self._state
        if exit_code is not None:
            if isinstance(self._state, WeightsRunning):
                reason = last_error_line(self._log) or exit_reason(exit_code)
                self._state = WeightsFailed(
                    f"The download ended unexpectedly: {reason.rstrip('.')}. "
                    f"The log is {self._log}."
                )
            self._close()
        return self._state

    def cancel(self) -> None:
        """End it at once."""
        if isinstance(self._state, WeightsRunning) and self._tree is not None:
            self._tree.kill()
            self._state = WeightsCancelled()
            self._close()

    def _new_lines(self) -> list[bytes]:
        if self._output is None:
            return []
        *complete, self._unfinished_line = (self._unfinished_line + self._output.read()).split(
            b"\n"
        )
        return complete

    def _close(self) -> None:
        if self._output is not None:
            self._output.close()
            self._output = None


def _state_of(line: bytes) -> WeightsState | None:
    """What a line says, None for anything that a library has printed."""
    try:
        said: Any = json.loads(line)
    except ValueError:
        return None
    if not isinstance(said, dict):
        return None
    if "error" in said:
        return WeightsFailed(str(said["error"]))
    if "path" in said:
        return WeightsDone(Path(str(said["path"])))
    if said.keys() >= {"step", "done", "total"}:
        return WeightsRunning(str(said["step"]), int(said["done"]), int(said["total"]))
    return None
