"""`segvol train`: a network that learns from the user's own CTs."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segvol_core.cli.options import VerboseOption
from segvol_core.errors import SegVolError

if TYPE_CHECKING:
    from segvol_core.training.settings import TrainingSettings

_PACKAGES = ("monai", "pydantic", "yaml")


def train(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG", help="YAML file with the settings of the training.")
    ],
    *,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Only look at the cases and say what would stop or spoil the training."
        ),
    ] = False,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on from the checkpoint, as if it had never stopped."),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Begin anew where a training is already.")
    ] = False,
    verbose: VerboseOption = False,  # noqa: ARG001  # Its callback has told the group.
) -> None:
    """Train a network, or go on training one, on folders of CTs with labels.

    The smallest CONFIG names the CTs, an output folder and an end:

        data: my_cts
        output: runs/first
        steps: 2000

    Ctrl-C stops after the step at hand and keeps everything for --resume. Several GPUs or machines:
    torchrun --nproc-per-node 4 -m segvol_core.cli train CONFIG
    """
    _check_packages()
    from segvol_core.training.settings import read_settings  # noqa: PLC0415

    settings = read_settings(config)
    if check:
        _check(settings)
        return
    _train(settings, resume=resume, overwrite=overwrite)


def _check_packages() -> None:
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise SegVolError(
            f"Training needs packages that are not installed ({', '.join(missing)}): "
            "pip install 'segvol[train]'."
        )


def _check(settings: TrainingSettings) -> None:
    from segvol_core.cli.command_group import ExitCode  # noqa: PLC0415
    from segvol_core.cli.training_check import check_training_data, print_report  # noqa: PLC0415

    report = check_training_data(settings)
    print_report(report)
    if report.errors:
        raise typer.Exit(ExitCode.BAD_INPUT)


def _train(settings: TrainingSettings, *, resume: bool, overwrite: bool) -> None:
    from segvol_core.cli.command_group import ExitCode  # noqa: PLC0415
    from segvol_core.cli.training_check import log_to_stdout, stop_on_errors  # noqa: PLC0415
    from segvol_core.training.run import run_training  # noqa: PLC0415
    from segvol_core.training.team import is_leading_process  # noqa: PLC0415

    leads = is_leading_process()
    if leads and not resume:
        stop_on_errors(settings)
    with log_to_stdout(enabled=leads):
        outcome = run_training(settings, resume=resume, overwrite=overwrite)
    if leads:
        if outcome.stopped:
            typer.echo(f"Stopped after {outcome.steps} steps; --resume goes on from here.")
        else:
            dice = "" if outcome.dice < 0 else f", validation Dice {outcome.dice:.3f}"
            typer.echo(f"{outcome.steps} steps{dice}. The weights are in {outcome.weights}.")
    if outcome.stopped:
        raise typer.Exit(ExitCode.CANCELLED)
