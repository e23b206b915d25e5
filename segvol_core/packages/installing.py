"""Filling a folder with packages: uv, else pip, with every line passed on to the user."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from segvol_core.errors import PackagesError
from segvol_core.packages import installers
from segvol_core.packages.failures import explain, is_unresolvable, without_secrets
from segvol_core.packages.installers import Installation
from segvol_core.packages.status import MARKER
from segvol_core.packages.swap import beside

_LAST_LINES = 60
_SECONDS_BETWEEN_SIZES = 5.0


class Runner:
    """Runs commands, passes their lines on, and keeps the last ones."""

    def __init__(self, environment: dict[str, str], lock: int) -> None:
        self._environment = environment
        self._lock = lock
        self.lines: deque[str] = deque(maxlen=_LAST_LINES)

    def run(self, command: list[str]) -> int:
        """Exit code of a command, -1 if it cannot be started."""
        inherited = () if sys.platform == "win32" else (self._lock,)
        try:
            process = subprocess.Popen(  # noqa: S603 - an installer, without a shell
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=self._environment,
                encoding="utf-8",
                errors="replace",
                pass_fds=inherited,
            )
        except OSError as error:
            say(f"{command[0]} cannot be started: {error.strerror}.")
            return -1
        with process:
            for line in process.stdout or ():
                if line.strip():
                    self.lines.append(line.rstrip())
                    say(line.rstrip())
        return process.returncode


class Installer:
    """Installs with uv, and with pip where uv cannot."""

    def __init__(self, installation: Installation, lock: int, *, keep_installed: bool) -> None:
        self._installation = installation
        self._keep_installed = keep_installed
        environment = installers.installer_environment(installation.folder, os.environ)
        self._runner = Runner(environment, lock)

    def install(self) -> str:
        """Fill the target, and return what did it.

        Raises
        ------
        PackagesError
            If neither could.
        """
        done = threading.Event()
        watch = threading.Thread(target=self._tell_size, args=(done,), daemon=True)
        watch.start()
        try:
            return self._install()
        finally:
            done.set()
            watch.join()

    def _install(self) -> str:
        plan = self._installation
        say("Looking for uv.")
        uv = installers.find_uv(plan.python, plan.folder, plan.wheels, self._runner.run)
        uv_lines: list[str] = []
        if uv is not None:
            if self._keep_installed:
                _copy_links(plan.folder, plan.target)
            say("Installing with uv.")
            if self._tested_or_allowed(lambda plan: installers.uv_command(uv, plan)):
                return "uv"
            uv_lines = list(self._runner.lines)
            shutil.rmtree(plan.target, ignore_errors=True)
        say("Installing with pip.")
        pytorch = installers.answering_index(plan, self._runner.run)
        if pytorch is None and plan.wheels is None:
            say("PyTorch comes from the package index itself.")
        if self._tested_or_allowed(lambda plan: installers.pip_command(plan, pytorch)):
            return "pip"
        raise PackagesError(explain([*uv_lines, *self._runner.lines], wheels=plan.wheels))

    def _tested_or_allowed(self, command: Callable[[Installation], list[str]]) -> bool:
        """Install the versions that were tested, or where they do not fit, any that is allowed."""
        plan = self._installation
        self._runner.lines.clear()
        if self._runner.run(command(plan)) == 0:
            return True
        if plan.constraints_file is None or not is_unresolvable(self._runner.lines):
            return False
        say("The tested versions do not fit here: installing others that are allowed.")
        self._runner.lines.clear()
        return self._runner.run(command(replace(plan, constraints_file=None))) == 0

    def _tell_size(self, done: threading.Event) -> None:
        download = beside(self._installation.folder, "download")
        told = 0
        while not done.wait(_SECONDS_BETWEEN_SIZES):
            megabytes = (_bytes(download) + _bytes(self._installation.target)) // 1_000_000
            if megabytes != told:
                told = megabytes
                say(f"{megabytes} MB so far.")


def _copy_links(source: Path, target: Path) -> None:
    """Copy an installation by hard links where the disk can: installers replace, not overwrite."""

    def copy(file: str, copied: str) -> None:
        try:
            os.link(file, copied)
        except OSError:
            shutil.copy2(file, copied)

    # Without the marker: the copy is not complete before something was installed into it.
    shutil.copytree(
        source, target, copy_function=copy, ignore=shutil.ignore_patterns(MARKER, "__pycache__")
    )


def _bytes(folder: Path) -> int:
    total = 0
    for parent, _folders, files in os.walk(folder):
        for file in files:
            with contextlib.suppress(OSError):  # gone meanwhile
                total += Path(parent, file).lstat().st_size
    return total


def say(line: str) -> None:
    """Print a line for the user and the log."""
    sys.stdout.write(f"{without_secrets(line)}\n")
    sys.stdout.flush()
