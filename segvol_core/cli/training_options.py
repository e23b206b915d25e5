"""What `segvol train` and `segvol pretrain` have in common: options, the check, the last line."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segvol_core.cli.command_group import ExitCode
from segvol_core.errors import SegVolError

if TYPE_CHECKING:
    from segvol_core.cli.training_check import ToCheck
    from segvol_core.training.course import Outcome

_PACKAGES = ("monai", "pydantic", "yaml")

ConfigArgument = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="YAML file with the settings of the training.")
]
CheckOption = Annotated[
    bool,
    typer.Option(
        "--check", help="Only look at the cases and say what would stop or spoil the training."
    ),
]
ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Go on from the checkpoint, as if it had never stopped.")
]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Begin anew where a training is already.")
]


def check_packages() -> None:
    """Make sure that all that training needs is installed.

    Raises
    ------
    SegVolError
        If a package is missing; the message says how to install it.
    """
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise SegVolError(
            f"Training needs packages that are not installed ({', '.join(missing)}): "
            "pip install 'segvol[train]'."
        )


def check_or_run(
    look: Callable[[], ToCheck], train: Callable[[], Outcome], *, check: bool, resume: bool
) -> None:
    """Report on the cases, or check those of a new training, run it, and say how it ended.

    Raises
    ------
    SegVolError
        If something about settings, cases, weights or files is wrong.
    """
    from segvol_core.cli.training_check import log_to_stdout, stop_on_errors  # noqa: PLC0415
    from segvol_core.training.team import is_leading_process  # noqa: PLC0415

    if check:
        _print_check(look)
        return
    leads = is_leading_process()
    if leads and not resume:
        stop_on_errors(look)
    with log_to_stdout(enabled=leads):
        outcome = train()
    if leads:
        if outcome.stopped:
            typer.echo(f"Stopped after {outcome.steps} steps; --resume goes on from here.")
        else:
            dice = "" if outcome.dice < 0 else f", validation Dice {outcome.dice:.3f}"
            if outcome.dice_at_start is not None:
                dice += f" ({outcome.dice_at_start:.3f} before the first step)"
            early = " (ended early, since validation found nothing better)" if outcome.early else ""
            typer.echo(f"{outcome.steps} steps{early}{dice}. The weights are in {outcome.weights}.")
    if outcome.stopped:
        raise typer.Exit(ExitCode.CANCELLED)


def _print_check(look: Callable[[], ToCheck]) -> None:
    """Print the report on the cases; errors among the findings end the command.

    Raises
    ------
    SegVolError
        If the folders, or the weights to start from, cannot be read.
    """
    from segvol_core.cli.training_check import check_training_data, print_report  # noqa: PLC0415

    report = check_training_data(look)
    print_report(report)
    if report.errors:
        raise typer.Exit(ExitCode.BAD_INPUT)
