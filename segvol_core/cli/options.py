"""Options that several commands share."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from segvol_core.cli.command_group import remember_verbose

COMPUTING, OUTPUT, SEVERAL = "Computing", "Output", "Several GPUs or computers"
"""Headings of options in the help."""

WEIGHTS_HELP = "starter (bundled), segvol (after `segvol download`), or a checkpoint file."


class Windows(str, Enum):
    """Where zoom-in places its windows, see `segvol_core.zoom.Placement`."""

    LATTICE = "lattice"
    PUBLISHED = "published"


class Precision(str, Enum):
    """What the image encoder computes in."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


WeightsOption = Annotated[
    str,
    typer.Option(
        "--weights",
        metavar="NAME|FILE",
        help=WEIGHTS_HELP,
        rich_help_panel=COMPUTING,
    ),
]

DeviceOption = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="auto|cpu|cuda|cuda:1|mps",
        help="auto takes a CUDA device if there is one, else the CPU.",
        rich_help_panel=COMPUTING,
    ),
]

WindowsOption = Annotated[
    Windows,
    typer.Option(
        "--windows",
        help="lattice shares windows between segments; published places them as the paper does.",
        rich_help_panel=COMPUTING,
    ),
]

PrecisionOption = Annotated[
    Precision,
    typer.Option(
        "--precision",
        help="bfloat16 is faster on a GPU; masks may differ at their edges.",
        rich_help_panel=COMPUTING,
    ),
]

CacheOption = Annotated[
    int,
    typer.Option(
        "--cache-mb",
        min=0,
        metavar="MB",
        help="Memory for encoded windows that may be needed again.",
        rich_help_panel=COMPUTING,
    ),
]

OverwriteOption = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace files that exist already.", rich_help_panel=OUTPUT),
]

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON, for scripts, and nothing else.")
]

VerboseOption = Annotated[
    bool,
    typer.Option(
        "--verbose",
        callback=remember_verbose,
        help="Show where errors come from, and the warnings of libraries.",
    ),
]

SeriesOption = Annotated[
    str | None,
    typer.Option(
        "--series",
        metavar="UID",
        help="Series Instance UID, where the folder holds several DICOM series.",
    ),
]

RayAddressOption = Annotated[
    str | None,
    typer.Option(
        "--ray-address",
        metavar="HOST:PORT",
        help="Ray cluster to join. Default: one is started on this computer, and ends with the "
        "command.",
        rich_help_panel=SEVERAL,
    ),
]

CtArgument = Annotated[
    Path,
    typer.Argument(
        metavar="CT", help="NIfTI, NRRD, MHA/MHD, or a folder with the images of a DICOM series."
    ),
]
