"""`segvol batch`: a folder of CTs."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segvol_core.cli.command_group import ExitCode
from segvol_core.cli.options import (
    SEVERAL,
    CacheOption,
    DeviceOption,
    Precision,
    PrecisionOption,
    RayAddressOption,
    VerboseOption,
    WeightsOption,
    Windows,
    WindowsOption,
)
from segvol_core.errors import PromptError

if TYPE_CHECKING:
    from segvol_core.batch.job import Outcome


class Format(str, Enum):
    """Suffix of the results."""

    SLICER = "seg.nrrd"
    NIFTI = "nii.gz"
    NRRD = "nrrd"
    MHA = "mha"


def batch(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="Folder of CTs, with the folders below it: NIfTI, NRRD, MHA/MHD, DICOM folders.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Folder for the results; made if it is not there."
        ),
    ],
    *,
    names: Annotated[
        list[str] | None,
        typer.Option(
            "--names",
            "-t",
            metavar="NAMES",
            help='Organs for every CT, such as "liver, spleen". May be repeated.',
        ),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="JSON with prompts for each case, in place of --names: "
            '{"case": {"Lesion": {"points": [{"ras": [12.5, -40, 100], "positive": true}]}}}.',
        ),
    ] = None,
    output_format: Annotated[
        Format,
        typer.Option(
            "--format",
            help="Of the results. Label maps have the values 1, 2, ... in the order of the names.",
        ),
    ] = Format.SLICER,
    retries: Annotated[
        int, typer.Option(min=0, help="How often a case is tried again whose process has died.")
    ] = 2,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace results of other prompts, weights or CTs, and files that were changed.",
        ),
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="CTs at once. Default: one for each GPU, or one.",
            rich_help_panel=SEVERAL,
        ),
    ] = None,
    ray_address: RayAddressOption = None,
    weights: WeightsOption = "starter",
    device: DeviceOption = "auto",
    windows: WindowsOption = Windows.LATTICE,
    precision: PrecisionOption = Precision.FLOAT32,
    cache_mb: CacheOption = 1024,
    _verbose: VerboseOption = False,
) -> None:
    """Segment every CT of a folder, several at once, and report.

    What is done is not done again: after a break, give the same command again. A CT that cannot
    be segmented does not stop the others; the report says why. The exit code is 2 then.
    """
    if (names is None) == (prompts is None):
        raise PromptError("Give --names or --prompts.")

    from segvol_core.cli.progress import progress_bars, step  # noqa: PLC0415
    from segvol_core.distributed.ray_cluster import require_ray  # noqa: PLC0415

    require_ray()
    with progress_bars() as progress:
        with step(progress, "Looking for CTs"):
            from segvol_core.batch.cases import find_cases  # noqa: PLC0415
            from segvol_core.batch.job import Computing  # noqa: PLC0415
            from segvol_core.batch.run import Batch, run_batch  # noqa: PLC0415
            from segvol_core.batch.wanted import read_prompts, wanted_names  # noqa: PLC0415

            named = wanted_names(names or ())
            cases = find_cases(folder, but_not_in=output)
            wanted = {case.name: named for case in cases}
            if prompts is not None:
                wanted = read_prompts(prompts, cases)
        bar = progress.add_task("Segmenting", total=None)
        outcomes = run_batch(
            Batch(
                cases=cases,
                wanted=wanted,
                output=output,
                suffix=f".{output_format.value}",
                computing=Computing(
                    weights, device, windows.value, precision.value, cache_mb * 2**20
                ),
                workers=workers,
                retries=retries,
                overwrite=overwrite,
                ray_address=ray_address,
            ),
            lambda done, total: progress.update(bar, completed=done, total=total),
        )
    _print(outcomes, output)
    if any(outcome.error is not None for outcome in outcomes):
        raise typer.Exit(ExitCode.BAD_INPUT)


def _print(outcomes: Sequence[Outcome], output: Path) -> None:
    from rich.table import Table  # noqa: PLC0415

    from segvol_core.batch.report import TITLES, cells, summary  # noqa: PLC0415
    from segvol_core.cli.tables import print_table  # noqa: PLC0415

    table = Table(*TITLES, box=None, pad_edge=False, show_edge=False)
    for outcome in outcomes:
        table.add_row(*cells(outcome))
    print_table(table)
    typer.echo(summary(outcomes))
    typer.echo(f"Wrote {output / 'report.csv'} and report.md.")
