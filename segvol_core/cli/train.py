"""`segvol train`: a network that learns from the user's own CTs."""

from __future__ import annotations

from segvol_core.cli.options import VerboseOption
from segvol_core.cli.training_options import (
    CheckOption,
    ConfigArgument,
    OverwriteOption,
    ResumeOption,
    check_or_run,
    check_packages,
)


def train(
    config: ConfigArgument,
    *,
    check: CheckOption = False,
    resume: ResumeOption = False,
    overwrite: OverwriteOption = False,
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
    check_packages()
    from segvol_core.cli.training_check import of_training  # noqa: PLC0415
    from segvol_core.training.launch import check_beginning  # noqa: PLC0415
    from segvol_core.training.run import run_training  # noqa: PLC0415
    from segvol_core.training.settings import read_settings  # noqa: PLC0415

    settings = read_settings(config)
    if not check:
        check_beginning(settings, resume=resume, overwrite=overwrite)
    check_or_run(
        lambda: of_training(settings),
        lambda: run_training(settings, resume=resume, overwrite=overwrite),
        check=check,
        resume=resume,
    )
