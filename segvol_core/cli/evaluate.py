"""`segvol evaluate`: Dice and surface distance on CTs with labels, beside trivial baselines."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segvol_core.cli.options import COMPUTING, DeviceOption, VerboseOption, WeightsOption
from segvol_core.cli.progress import progress_bars

if TYPE_CHECKING:
    from segvol_core.evaluation.scoring import Score

_CASES, _WHAT, _OUTPUT = "Cases", "What is evaluated", "Output"


class Windows(str, Enum):
    """Placements of windows to evaluate."""

    LATTICE = "lattice"
    PUBLISHED = "published"
    BOTH = "both"


def evaluate(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="FOLDER", help="Folder with an index.json that lists CTs and their labels."
        ),
    ] = None,
    *,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Only cases of this split of the folder, for instance validation.",
            rich_help_panel=_CASES,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="At most so many cases.", rich_help_panel=_CASES),
    ] = None,
    image: Annotated[
        Path | None,
        typer.Option(metavar="CT", help="CT of a single case.", rich_help_panel=_CASES),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Its label map.", rich_help_panel=_CASES),
    ] = None,
    label_map: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Names of its labels: a CSV with the columns structure and id, or a JSON object "
            "from name to value.",
            rich_help_panel=_CASES,
        ),
    ] = None,
    demo: Annotated[
        bool,
        typer.Option(
            "--demo",
            help="The CT of `make demo`, fetched into demo/download if it is not there: liver, "
            "spleen, kidneys, lobes of the lungs, heart, aorta, stomach and vertebrae.",
            rich_help_panel=_CASES,
        ),
    ] = False,
    kinds: Annotated[
        str,
        typer.Option(
            metavar="KINDS",
            help="Some of text, point, box, text+box, text+point, box+point; or all.",
            rich_help_panel=_WHAT,
        ),
    ] = "text,point,box",
    organs: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="Structures as the labels or people name them, or patterns such as lung_*; "
            "all if not given.",
            rich_help_panel=_WHAT,
        ),
    ] = "",
    group: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=NAMES",
            help="Structures taken together as one, such as lungs=lung_*. May be repeated.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    min_voxels: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Smaller structures are left out. Those that the volume's edge cuts off stay in.",
            rich_help_panel=_WHAT,
        ),
    ] = 20,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="CSV with a line for each answer.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the tables that are printed.", rich_help_panel=_OUTPUT
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Replace files that exist already.", rich_help_panel=_OUTPUT
        ),
    ] = False,
    weights: WeightsOption = "starter",
    device: DeviceOption = "auto",
    windows: Annotated[
        Windows,
        typer.Option(
            help="Where zoom-in places its windows; both also gives Dice between the two masks.",
            rich_help_panel=COMPUTING,
        ),
    ] = Windows.LATTICE,
    verbose: VerboseOption = False,  # noqa: ARG001  # Its callback has told the group.
) -> None:
    """Compare masks with labels: Dice, surface distance and seconds.

    Prompts are made from the labels: a click on the deepest voxel, the bounding box, the name.
    Beside the answers stand two trivial ones to the same box: the box filled, and the ellipsoid
    inscribed in it.

    For instance:

    - segvol evaluate --demo --kinds all -o demo.csv
    - segvol evaluate FOLDER --split validation --kinds text --organs "brainstem, mandible"
    """
    from segvol_core.cli.evaluating import (  # noqa: PLC0415
        Source,
        check_anything_scored,
        evaluate_cases,
        plan_evaluation,
    )
    from segvol_core.evaluation.report import (  # noqa: PLC0415
        check_report,
        to_csv,
        to_markdown,
        write_report,
    )

    for path in filter(None, (output, markdown)):
        check_report(path, overwrite=overwrite)
    evaluation = plan_evaluation(
        Source(folder, split, image, labels, label_map, demo),
        kinds=kinds,
        organs=organs,
        groups=group or (),
        windows=windows.value,
        limit=limit,
        min_voxels=min_voxels,
    )
    scores: list[Score] = []
    try:
        with progress_bars() as progress:
            for score in evaluate_cases(evaluation, weights, device, progress):
                scores.append(score)  # noqa: PERF402  # Each is kept when the next one fails.
        check_anything_scored(scores, min_voxels)
    finally:
        # What was scored before an error or Ctrl-C is not lost.
        if scores:
            tables = to_markdown(scores)
            typer.echo(tables, nl=False)
            if output is not None:
                write_report(output, to_csv(scores))
            if markdown is not None:
                write_report(markdown, tables)
