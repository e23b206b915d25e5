"""The command line as tests run it: in this process, or as the installed program."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner, Result

from segvol_core.cli.app import app

SEGVOL = Path(sys.executable).with_name("segvol")


def run(*arguments: object) -> Result:
    """What `segvol` with these arguments prints and returns, without a process of its own."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="segvol")


def run_program(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """The installed `segvol`."""
    return subprocess.run(  # noqa: S603  # Our own program.
        [SEGVOL, *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def assert_refused(result: Result, message: str) -> None:
    """One line that says what is wrong, exit code 2, and nothing else."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("Error: ")
    assert message in result.stderr
