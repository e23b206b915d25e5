"""What every command has in common: exit codes, one-line errors and warnings, cancelling."""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

import typer
from typer.core import TyperGroup

from segvol_core.errors import SegVolError, SegVolWarning
from segvol_core.memory_errors import is_out_of_memory

# typer used click itself before it took a copy of it along; the error of a wrong command line has
# no public name that both share, but this subclass of it has.
_UsageError: Any = typer.BadParameter.__mro__[1]

_VERBOSE = "segvol.verbose"


class ExitCode(IntEnum):
    """Exit codes that scripts can rely on."""

    DONE = 0
    FAULT = 1
    BAD_INPUT = 2
    NOTHING_FOUND = 3
    CANCELLED = 130


class CommandGroup(TyperGroup):
    """Commands whose errors end as one line on stderr, `Error: …`, and as an exit code."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run a command line and exit; a wrong one is said like any other error."""
        extra["standalone_mode"] = False
        try:
            code = super().main(*args, **extra)
        except _UsageError as error:
            command = error.ctx.command_path if error.ctx is not None else "segvol"
            message = error.format_message()
            end = "" if message.endswith((".", "?")) else "."
            _say(f"Error: {message}{end} See `{command} --help`.")
            code = ExitCode.BAD_INPUT
        except typer.Abort:
            code = ExitCode.CANCELLED
        sys.exit(code)

    def invoke(self, ctx: Any) -> Any:
        """Run one command, and return its exit code if it failed."""
        with _printed_warnings(ctx):
            try:
                return super().invoke(ctx)
            except (typer.Exit, typer.Abort, _UsageError, BrokenPipeError):
                raise
            except SegVolError as error:
                return _failed(ctx, ExitCode.BAD_INPUT, f"Error: {error}")
            except KeyboardInterrupt:
                return _failed(ctx, ExitCode.CANCELLED, "Cancelled.")
            except Exception as error:  # noqa: BLE001  # Last place that can put it in words.
                if is_out_of_memory(error):
                    message = "Error: the memory of this computer does not suffice."
                    return _failed(ctx, ExitCode.FAULT, message)
                message = f"Error: a fault of the program ({type(error).__name__}: {error})."
                advice = "" if _is_verbose(ctx) else " --verbose shows where."
                return _failed(ctx, ExitCode.FAULT, message + advice)


def remember_verbose(context: typer.Context, verbose: bool) -> bool:
    """Callback of the option `--verbose`, for what the group does with errors and warnings."""
    context.meta[_VERBOSE] = verbose
    return verbose


@contextmanager
def noted_warnings() -> Iterator[list[str]]:
    """Yield a list of the warnings for the user; they are shown as before, too."""
    noted: list[str] = []
    show = warnings.showwarning

    def note(message: Warning | str, category: type[Warning], *args: Any, **kwargs: Any) -> None:
        if issubclass(category, SegVolWarning):
            noted.append(str(message))
        show(message, category, *args, **kwargs)

    with warnings.catch_warnings():
        warnings.showwarning = note
        yield noted


def _is_verbose(ctx: Any) -> bool:
    return bool(ctx.meta.get(_VERBOSE, False))


def _failed(ctx: Any, code: ExitCode, message: str) -> ExitCode:
    """Say what happened, after the traceback of the exception being handled if that is wanted."""
    if _is_verbose(ctx):
        traceback.print_exc()
    _say(message)
    return code


@contextmanager
def _printed_warnings(ctx: Any) -> Iterator[None]:
    """Print our warnings as a line each, and those of libraries only with `--verbose`."""

    def show(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
        if issubclass(category, SegVolWarning):
            _say(f"Warning: {message}")
        elif _is_verbose(ctx):
            _say(f"{category.__name__}: {message}")

    with warnings.catch_warnings():
        warnings.simplefilter("always", SegVolWarning)
        warnings.showwarning = show
        yield


def _say(text: str) -> None:
    """Write one line to stderr; where a progress bar is shown it goes above it."""
    sys.stderr.write(" ".join(line.strip() for line in text.splitlines()) + "\n")
    sys.stderr.flush()
