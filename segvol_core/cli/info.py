"""`segvol info`: this installation and this computer, or a CT."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from segvol_core.cli.options import JsonOption, SeriesOption, VerboseOption

if TYPE_CHECKING:
    from segvol_core.cli.descriptions import Computer, Ct


def info(
    ct: Annotated[
        Path | None,
        typer.Argument(
            metavar="CT",
            help="NIfTI, NRRD, MHA/MHD, or a folder with the images of a DICOM series.",
        ),
    ] = None,
    series: SeriesOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,  # noqa: ARG001  # Its callback has told the group.
) -> None:
    """Describe this installation and this computer, or a CT."""
    from segvol_core.cli.progress import progress_bars, step  # noqa: PLC0415

    with progress_bars() as progress, step(progress, "Looking"):
        from segvol_core.cli.descriptions import describe_computer, describe_ct  # noqa: PLC0415

        described = describe_computer() if ct is None else describe_ct(ct, series)
    if as_json:
        typer.echo(json.dumps(asdict(described), indent=2, default=str))
    else:
        _print(described)


def _print(described: Computer | Ct) -> None:
    """Print two columns, what it is and its value; `lines` of the description has them."""
    lines = described.lines()
    width = max(len(title) for title, _ in lines)
    for title, value in lines:
        typer.echo(f"{title:<{width}}  {value}".rstrip())
