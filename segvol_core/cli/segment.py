"""`segvol segment`: from a CT and prompts to a file with segments."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segvol_core.cli.clock import Clock
from segvol_core.cli.command_group import ExitCode
from segvol_core.cli.options import (
    OUTPUT,
    CacheOption,
    CtArgument,
    DeviceOption,
    JsonOption,
    OverwriteOption,
    Precision,
    PrecisionOption,
    SeriesOption,
    VerboseOption,
    WeightsOption,
    Windows,
    WindowsOption,
)

if TYPE_CHECKING:
    from segvol_core.cli.segmenting import Result

_PROMPTS, _SERVER = "Prompts", "Server"
_RAS, _IJK = "R,A,S", "i,j,k"


def segment(
    ct: CtArgument,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help=".seg.nrrd for 3D Slicer (names, colours, overlaps), or a label map (.nii.gz, "
            ".nii, .nrrd, .mha) with the values 1, 2, ... in the order of the segments.",
            rich_help_panel=OUTPUT,
        ),
    ],
    *,
    text: Annotated[
        list[str] | None,
        typer.Option(
            "--text",
            "-t",
            metavar="NAMES",
            help='Organs, such as "liver, left kidney", each a segment. May be repeated.',
            rich_help_panel=_PROMPTS,
        ),
    ] = None,
    free_text: Annotated[
        bool,
        typer.Option(
            "--free-text",
            help="Give the model each --text as it is, one segment each.",
            rich_help_panel=_PROMPTS,
        ),
    ] = False,
    point: Annotated[
        list[str] | None,
        typer.Option(
            "--point",
            metavar=_RAS,
            help="A point inside, in RAS millimetres. May be repeated.",
            rich_help_panel=_PROMPTS,
        ),
    ] = None,
    negative_point: Annotated[
        list[str] | None,
        typer.Option(
            "--negative-point",
            metavar=_RAS,
            help="A point outside. May be repeated.",
            rich_help_panel=_PROMPTS,
        ),
    ] = None,
    box: Annotated[
        str | None,
        typer.Option(
            "--box",
            metavar=f"{_RAS},{_RAS}",
            help="Two opposite corners of a box, in RAS millimetres.",
            rich_help_panel=_PROMPTS,
        ),
    ] = None,
    point_ijk: Annotated[
        list[str] | None,
        typer.Option(
            "--point-ijk",
            metavar=_IJK,
            help="A point inside, as a voxel counted from 0. May be repeated.",
            rich_help_panel=_PROMPTS,
        ),
    ] = None,
    negative_point_ijk: Annotated[
        list[str] | None,
        typer.Option(
            "--negative-point-ijk",
            metavar=_IJK,
            help="A point outside, as a voxel. May be repeated.",
            rich_help_panel=_PROMPTS,
        ),
    ] = None,
    box_ijk: Annotated[
        str | None,
        typer.Option(
            "--box-ijk",
            metavar=f"{_IJK},{_IJK}",
            help="The first and the last voxel of a box.",
            rich_help_panel=_PROMPTS,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            metavar="NAME",
            help='Name of the segment; by default the organ\'s, or "Segment".',
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    split: Annotated[
        bool,
        typer.Option(
            "--split",
            help="One file per segment, its name added to the file's.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    identify: Annotated[
        bool,
        typer.Option(
            "--identify",
            help="Say which organs a segment from points and a box could be.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    overwrite: OverwriteOption = False,
    weights: WeightsOption = "starter",
    device: DeviceOption = "auto",
    windows: WindowsOption = Windows.LATTICE,
    precision: PrecisionOption = Precision.FLOAT32,
    cache_mb: CacheOption = 1024,
    series: SeriesOption = None,
    server: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Segment on a server (`segvol serve`) and not here; --weights is one of its "
            "networks then, its first one by default, and the other options of computing are its "
            "own.",
            rich_help_panel=_SERVER,
        ),
    ] = None,
    token: Annotated[
        str,
        typer.Option(
            envvar="SEGVOL_TOKEN",
            show_envvar=True,
            help="The server's token; rather in the variable, since others can see options.",
            rich_help_panel=_SERVER,
        ),
    ] = "",
    ca_file: Annotated[
        Path | None,
        typer.Option(
            metavar="PEM", help="Certificates to trust for https.", rich_help_panel=_SERVER
        ),
    ] = None,
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure",
            help="Send the CT to another computer without https: everyone on the way can read it.",
            rich_help_panel=_SERVER,
        ),
    ] = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,  # noqa: ARG001  # Its callback has told the group.
) -> None:
    """Segment a CT from names, points and a box.

    Points and the box are one segment, and with one name they describe it together. Several names
    are several segments, from one pass over the CT. Segments in which nothing is found are written
    empty, with a warning; if that is all of them, the exit code is 3.

    For instance:

    - segvol segment ct.nii.gz -o out.seg.nrrd --text "liver, spleen"

    - segvol segment ct.nii.gz -o out.seg.nrrd --point 12.5,-40,100 --name Lesion
    """
    from segvol_core.cli.progress import progress_bars, step  # noqa: PLC0415
    from segvol_core.cli.prompt_options import parse_marks, requested_segments  # noqa: PLC0415

    clock = Clock()
    marks = parse_marks(
        points=point or (),
        negative_points=negative_point or (),
        points_ijk=point_ijk or (),
        negative_points_ijk=negative_point_ijk or (),
        box=box,
        box_ijk=box_ijk,
    )
    requests = requested_segments(text or (), marks, name=name, free_text=free_text)

    with progress_bars() as progress:
        with step(progress, "Starting"):
            from segvol_core.cli.segmenting import Task, segment_file  # noqa: PLC0415
            from segvol_core.cli.segmenting_there import Server  # noqa: PLC0415
        clock.lap("start")
        task = Task(
            ct=ct,
            series=series,
            requests=requests,
            output=output,
            split=split,
            overwrite=overwrite,
            weights=weights,
            device=device,
            windows=windows.value,
            precision=precision.value,
            cache_bytes=cache_mb * 2**20,
            identify=identify,
            server=None if server is None else Server(server, token, ca_file, insecure),
        )
        result = segment_file(task, progress, clock)

    if as_json:
        typer.echo(json.dumps(asdict(result), indent=2, default=str))
    else:
        _print(result)
    if not any(each.voxels for each in result.segments):
        raise typer.Exit(ExitCode.NOTHING_FOUND)


def _print(result: Result) -> None:
    from rich.table import Table  # noqa: PLC0415

    from segvol_core.cli.tables import print_table  # noqa: PLC0415

    table = Table("Segment", box=None, pad_edge=False, show_edge=False)
    for column in ("Label", "Millilitres", "Voxels", "Coarse mask", "Final mask"):
        table.add_column(column, justify="right")
    for each in result.segments:
        table.add_row(
            each.name,
            str(each.label),
            f"{each.millilitres:.1f}",
            str(each.voxels),
            f"{each.coarse_seconds:.2f} s",
            f"{each.final_seconds:.2f} s",
        )
    print_table(table)
    for each in result.segments:
        if each.names:
            guesses = ", ".join(f"{name} {share:.0%}" for name, share in each.names.items())
            typer.echo(f"{each.name} could be: {guesses}")
    for file in result.files:
        typer.echo(f"Wrote {file}")
    steps = ("start", "read", "load", "prepare", "segment", "write")
    times = ", ".join(f"{step} {result.seconds[step]:.1f}" for step in steps)
    typer.echo(f"{result.seconds['total']:.1f} s on {result.device} ({times})")
