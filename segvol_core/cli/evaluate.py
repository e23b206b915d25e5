"""`segvol evaluate`: how good masks are on CTs with labels, beside trivial baselines."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segvol_core.cli.options import (
    COMPUTING,
    OUTPUT,
    DeviceOption,
    OverwriteOption,
    VerboseOption,
    WeightsOption,
)
from segvol_core.cli.progress import progress_bars

if TYPE_CHECKING:
    from segvol_core.evaluation.scoring import Score

_CASES, _WHAT, _PEER = "Cases", "What is evaluated", "Another program's masks"


class EvaluatedWindows(str, Enum):
    """Placements of windows to evaluate."""

    LATTICE = "lattice"
    PUBLISHED = "published"
    BOTH = "both"


def evaluate(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="FOLDER|CSV",
            help="Folder of CTs with labels in any layout that `segvol train` reads: nnU-Net, "
            "Decathlon, M3D-Seg, index.json, or a dataset.yaml; or the CSV of an earlier run, "
            "which is reported again.",
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
    validation: Annotated[
        str | None,
        typer.Option(
            metavar="SHARE|NAMES",
            help="What the folder's split validation is where the folder does not say, as in the "
            "settings of a training: the same share gives the same cases.",
            show_default="0.2",
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
        str | None,
        typer.Option(
            metavar="KINDS",
            help="Some of text, point, points5 (five clicks, each at the centre of the largest "
            "error so far), box, text+box (or box+text), text+point, box+point; or all.",
            show_default="text,point,box",
            rich_help_panel=_WHAT,
        ),
    ] = None,
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
    identify: Annotated[
        bool,
        typer.Option(
            "--identify",
            help="Also ask which organ each mask from points and boxes could be.",
            rich_help_panel=_WHAT,
        ),
    ] = False,
    masks: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Score these masks instead of computing any. For each case, under its name: a "
            "label map, or a folder with a file per structure. --kinds says what they were made "
            "from.",
            rich_help_panel=_PEER,
        ),
    ] = None,
    masks_label_map: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Names of the values in their label maps, like --label-map; by default those of "
            "the labels.",
            rich_help_panel=_PEER,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="CSV with a line for each answer.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the tables that are printed.", rich_help_panel=OUTPUT
        ),
    ] = None,
    plots: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Pictures: box plots per structure, and Dice against the number of clicks.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    compare: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            help="Earlier run to compare with, answer by answer.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    overwrite: OverwriteOption = False,
    weights: WeightsOption = "starter",
    device: DeviceOption = "auto",
    windows: Annotated[
        EvaluatedWindows,
        typer.Option(
            help="Where zoom-in places its windows; both also gives Dice between the two masks.",
            rich_help_panel=COMPUTING,
        ),
    ] = EvaluatedWindows.LATTICE,
    verbose: VerboseOption = False,  # noqa: ARG001  # Its callback has told the group.
) -> None:
    """Compare masks with labels: Dice, surface distances and seconds.

    Prompts are made from the labels: a click on the deepest voxel, the bounding box, the name.
    Beside the answers stand two trivial ones to the same box: the box filled, and the ellipsoid
    inscribed in it. Confidence intervals are drawn by cases.

    For instance:

    - segvol evaluate --demo --kinds all -o demo.csv --plots pictures
    - segvol evaluate FOLDER --split validation --kinds text --organs "brainstem, mandible"
    - segvol evaluate FOLDER --kinds box -o b.csv --compare a.csv
    - segvol evaluate FOLDER --kinds box --masks THEIRS -o theirs.csv
    - segvol evaluate theirs.csv --compare b.csv
    """
    from segvol_core.cli.evaluating import (  # noqa: PLC0415
        check_anything_scored,
        evaluate_cases,
    )
    from segvol_core.cli.evaluation_plan import (  # noqa: PLC0415
        Source,
        plan_evaluation,
        questions,
        scores_of_run,
    )
    from segvol_core.cli.reporting import Outputs, check_outputs, report  # noqa: PLC0415
    from segvol_core.evaluation.comparison import asked, check_common  # noqa: PLC0415

    outputs = Outputs(output, markdown, plots, compare, overwrite)
    earlier = check_outputs(outputs)
    source = Source(
        folder, split, validation, image, labels, label_map, demo, masks, masks_label_map
    )
    if folder is not None and folder.is_file():
        done = scores_of_run(source, any((kinds, organs, group, limit, identify)))
        if earlier is not None:
            check_common(earlier, asked(done))
        report(done, outputs, earlier)
        return
    evaluation = plan_evaluation(
        source,
        kinds=kinds,
        organs=organs,
        groups=group or (),
        windows=windows.value,
        limit=limit,
        min_voxels=min_voxels,
        identify=identify,
    )
    if earlier is not None:
        check_common(earlier, questions(evaluation))
    scores: list[Score] = []
    try:
        with progress_bars() as progress:
            for score in evaluate_cases(evaluation, weights, device, progress):
                scores.append(score)  # noqa: PERF402  # Each is kept when the next one fails.
        check_anything_scored(scores, min_voxels)
    finally:
        # What was scored before an error or Ctrl-C is not lost.
        if scores:
            report(scores, outputs, earlier)
