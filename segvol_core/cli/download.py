"""`segvol download`: the published weights, from the Hugging Face hub or from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segvol_core.cli.options import VerboseOption

_DOING = {"download": "Downloading", "check": "Checking", "copy": "Copying"}


def download(
    file: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="A copy on disk: SegVol_v1.pth, pytorch_model.bin or model.safetensors.",
        ),
    ] = None,
    revision: Annotated[
        str, typer.Option("--revision", help="Branch, tag or commit of BAAI/SegVol on the hub.")
    ] = "main",
    verbose: VerboseOption = False,  # noqa: ARG001  # Its callback has told the group.
) -> None:
    """Get the published weights (724 MB), for --weights segvol.

    A download that was cancelled or cut off goes on where it stopped. Proxies, mirrors and offline
    use are set in the environment, as for every program that uses the Hugging Face hub.
    """
    from segvol_core.cli.progress import progress_bars, step  # noqa: PLC0415

    with progress_bars(of_bytes=True) as progress:
        with step(progress, "Starting"):
            from segvol_core.download import (  # noqa: PLC0415
                Step,
                download_segvol,
                install_segvol,
            )
        bar = progress.add_task("Starting", total=None)

        def show(doing: Step, done: int, total: int) -> None:
            progress.update(bar, description=_DOING[doing], completed=done, total=total)

        if file is None:
            path = download_segvol(revision=revision, progress=show)
        else:
            path = install_segvol(file, progress=show)
    typer.echo(f"The published weights are in {path}; use them with --weights segvol.")
