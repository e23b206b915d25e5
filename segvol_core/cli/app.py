"""The commands of `segvol`, one line each.

A command is a function with typer's annotations. It raises `SegVolError` for what the user can
mend and `typer.Exit` for an exit code; `CommandGroup` does the rest. What is slow to import is
imported inside the function.
"""

from __future__ import annotations

from typing import Annotated

import typer

from segvol_core import __version__
from segvol_core.cli.batch import batch
from segvol_core.cli.benchmark import benchmark
from segvol_core.cli.command_group import CommandGroup
from segvol_core.cli.download import download
from segvol_core.cli.evaluate import evaluate
from segvol_core.cli.info import info
from segvol_core.cli.organs import organs
from segvol_core.cli.pretrain import pretrain
from segvol_core.cli.segment import segment
from segvol_core.cli.serve import serve
from segvol_core.cli.train import train

app = typer.Typer(
    cls=CommandGroup,
    rich_markup_mode="markdown",
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 done, 1 a fault of the program, 2 something in the command or its files "
    "is wrong, 3 nothing was found, 130 cancelled.",
)

app.command()(segment)
app.command()(batch)
app.command()(organs)
app.command()(info)
app.command()(download)
app.command()(serve)
app.command()(evaluate)
app.command()(benchmark)
app.command()(train)
app.command()(pretrain)


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"segvol {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def segvol(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Version.")
    ] = False,
) -> None:
    """Segment anything in a CT by a click, a box or a name. Not for clinical use."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
