"""`segvol pretrain`: an image encoder that learns from CTs without labels."""

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


def pretrain(
    config: ConfigArgument,
    *,
    check: CheckOption = False,
    resume: ResumeOption = False,
    overwrite: OverwriteOption = False,
    verbose: VerboseOption = False,  # noqa: ARG001  # Its callback has told the group.
) -> None:
    """Pre-train the image encoder of a network on folders of CTs, whose labels are not looked at.

    The encoder learns to fill in patches that are hidden from it (SimMIM). The smallest CONFIG:

        data: my_cts
        output: runs/encoder
        network: starter
        steps: 20000

    A training starts from the result with `start: runs/encoder/encoder.safetensors`. Ctrl-C,
    --resume and torchrun are as for `segvol train`.
    """
    check_packages()
    from segvol_core.cli.training_check import of_pretraining  # noqa: PLC0415
    from segvol_core.training.launch import check_beginning  # noqa: PLC0415
    from segvol_core.training.pretraining import run_pretraining  # noqa: PLC0415
    from segvol_core.training.pretraining_settings import (  # noqa: PLC0415
        read_pretraining_settings,
    )

    settings = read_pretraining_settings(config)
    if not check:
        check_beginning(settings, resume=resume, overwrite=overwrite)
    check_or_run(
        lambda: of_pretraining(settings),
        lambda: run_pretraining(settings, resume=resume, overwrite=overwrite),
        check=check,
        resume=resume,
    )
