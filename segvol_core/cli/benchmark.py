"""`segvol benchmark`: the published procedure and ours, side by side in one run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from segvol_core.cli.options import JsonOption, VerboseOption

RANDOM = "random"
_NAMES = 20


def benchmark(
    ct: Annotated[
        Path | None,
        typer.Argument(metavar="[CT]", help="A CT; without one, the demo's (fetched if need be)."),
    ] = None,
    *,
    weights: Annotated[
        str,
        typer.Option(
            "--weights",
            metavar="NAME|FILE",
            help="random: the published sizes with random weights; or starter, segvol, a file.",
        ),
    ] = RANDOM,
    names: Annotated[
        int, typer.Option("--names", min=2, max=100, help="How many organ names make a batch.")
    ] = _NAMES,
    threads: Annotated[
        int, typer.Option("--threads", min=1, help="CPU threads; all of them by default.")
    ] = os.cpu_count() or 1,
    run_all_published: Annotated[
        bool,
        typer.Option(
            "--run-all-published",
            help="Run the published procedure for every prompt; else its times but the first are "
            "computed, since it does the same work for each.",
        ),
    ] = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,  # noqa: ARG001  # Its callback has told the group.
) -> None:
    """Time the published procedure and SegVol's on the CPU, in float32, on one CT.

    With random weights of the published sizes the masks mean nothing, and the region of interest is
    nearly the whole volume: the most work a prompt can be.
    """
    from rich.console import Console  # noqa: PLC0415

    from segvol_core.benchmark.comparison import compare  # noqa: PLC0415
    from segvol_core.benchmark.procedures import Procedure, Task  # noqa: PLC0415
    from segvol_core.benchmark.report import (  # noqa: PLC0415
        agreement_sentence,
        as_table,
    )
    from segvol_core.benchmark.report import as_json as to_json  # noqa: PLC0415
    from segvol_core.cli.progress import progress_bars  # noqa: PLC0415
    from segvol_core.organs import vocabulary  # noqa: PLC0415

    if ct is None:
        from segvol_core.demo.case import fetch_case  # noqa: PLC0415

        ct = fetch_case(Path("demo")).image
    prompts = tuple(organ.prompt for organ in vocabulary() if organ.trained)[:names]
    task = Task(ct, None if weights == RANDOM else weights, prompts, threads)
    with progress_bars() as progress:
        bar = progress.add_task("Starting", total=1.0)

        def show(procedure: Procedure, what: str, fraction: float) -> None:
            progress.update(bar, description=f"{procedure}: {what}", completed=fraction)

        comparison = compare(task, show, run_all_published=run_all_published)
    if as_json:
        typer.echo(json.dumps(to_json(comparison), indent=2))
        return
    Console().print(as_table(comparison, len(prompts)))
    typer.echo(agreement_sentence(comparison))
