"""`segvol serve`: the inference process, for this computer or for a department."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segvol_core.cli.options import (
    COMPUTING,
    SEVERAL,
    WEIGHTS_HELP,
    CacheOption,
    DeviceOption,
    Precision,
    PrecisionOption,
    RayAddressOption,
    VerboseOption,
    Windows,
    WindowsOption,
)
from segvol_core.errors import SegVolError

_ACCESS = "Who can reach it"
_LIMITS = "Limits"
_STARTING = "For programs that start it"


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on.", rich_help_panel=_ACCESS)
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="0 is any free one.", rich_help_panel=_ACCESS)
    ] = 8765,
    *,
    token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="File with the token that clients need, readable by you alone. By default a new "
            "token is made and printed.",
            rich_help_panel=_ACCESS,
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None,
        typer.Option(metavar="PEM", help="Certificate for https.", rich_help_panel=_ACCESS),
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(metavar="PEM", help="Its key.", rich_help_panel=_ACCESS)
    ] = None,
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure",
            help="Listen to other computers without TLS: everyone on the way can read the images.",
            rich_help_panel=_ACCESS,
        ),
    ] = False,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|FILE",
            help=f"{WEIGHTS_HELP} Repeatable; clients choose, the first is the default.",
            rich_help_panel=COMPUTING,
        ),
    ] = None,
    device: DeviceOption = "auto",
    windows: WindowsOption = Windows.LATTICE,
    precision: PrecisionOption = Precision.FLOAT32,
    cache_mb: CacheOption = 1024,
    encode_ahead: Annotated[
        bool,
        typer.Option(
            help="Whether to encode volumes while nobody waits.", rich_help_panel=COMPUTING
        ),
    ] = True,
    memory_mb: Annotated[
        int | None,
        typer.Option(
            min=64,
            metavar="MB",
            help="Memory for all volumes and what is computed from them; the least recently used "
            "go first. Default: half of this computer's.",
            rich_help_panel=_LIMITS,
        ),
    ] = None,
    max_volume_mb: Annotated[
        int,
        typer.Option(min=1, metavar="MB", help="Voxels of one volume.", rich_help_panel=_LIMITS),
    ] = 2048,
    keep_minutes: Annotated[
        float,
        typer.Option(
            min=0.1, help="Volumes that nobody uses are dropped then.", rich_help_panel=_LIMITS
        ),
    ] = 60.0,
    ray: Annotated[
        bool,
        typer.Option(
            "--ray",
            help="Compute in several processes with Ray Serve; each user's volumes stay with one "
            "of them.",
            rich_help_panel=SEVERAL,
        ),
    ] = False,
    replicas: Annotated[
        int | None,
        typer.Option(min=1, help="Processes. Default: one for each GPU.", rich_help_panel=SEVERAL),
    ] = None,
    ray_address: RayAddressOption = None,
    ready_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Written once it serves: JSON with url, pid and version; or with error.",
            rich_help_panel=_STARTING,
        ),
    ] = None,
    parent_pid: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="PID",
            help="End when this process ends.",
            rich_help_panel=_STARTING,
        ),
    ] = None,
    end_with_stdin: Annotated[
        bool,
        typer.Option(
            "--end-with-stdin",
            help="End when standard input ends, for instance a pipe from the parent.",
            rich_help_panel=_STARTING,
        ),
    ] = False,
    log_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Log, begun anew at 1 MB, with three older ones kept. Default: stderr.",
            rich_help_panel=_STARTING,
        ),
    ] = None,
    _verbose: VerboseOption = False,
) -> None:
    """Segment for Slicer and other clients over HTTP, on this computer or for a department.

    Volumes and masks stay in memory; nothing of a patient is written to disk or logged.
    """
    from segvol_core.server.address import Address, check_address  # noqa: PLC0415
    from segvol_core.server.authentication import new_token, read_token  # noqa: PLC0415
    from segvol_core.server.logs import start_log  # noqa: PLC0415
    from segvol_core.server.parent import end_with_process  # noqa: PLC0415
    from segvol_core.server.parent import end_with_stdin as watch_stdin  # noqa: PLC0415
    from segvol_core.server.ready_file import reported_start  # noqa: PLC0415

    def remove_ready_file() -> None:
        if ready_file is not None:
            ready_file.unlink(missing_ok=True)

    # Before all else: what follows takes seconds, in which the parent may end.
    if parent_pid is not None:
        end_with_process(parent_pid, remove_ready_file)
    if end_with_stdin:
        watch_stdin(remove_ready_file)

    with reported_start(ready_file) as tell_ready:
        start_log(log_file)
        if not ray and (replicas is not None or ray_address is not None):
            raise SegVolError("--replicas and --ray-address are for --ray.")
        address = Address(host, port, tls_cert, tls_key)
        check_address(address, own_token=token_file is None, insecure=insecure)
        token = new_token() if token_file is None else read_token(token_file)

        from segvol_core.server.computer_memory import default_memory_bytes  # noqa: PLC0415
        from segvol_core.server.settings import Settings  # noqa: PLC0415

        def on_ready(url: str) -> None:
            tell_ready(url)
            typer.echo(f"SegVol serves on {url} (Ctrl-C ends it).")
            if token_file is None:
                typer.echo(f"Token: {token}")

        settings = Settings(
            memory_bytes=memory_mb * 2**20 if memory_mb else default_memory_bytes(),
            cache_bytes=cache_mb * 2**20,
            windows=windows.value,
            precision=precision.value,
            encode_ahead=encode_ahead,
            max_volume_bytes=max_volume_mb * 2**20,
            keep_volume_seconds=keep_minutes * 60,
        )
        networks = tuple(weights or ["starter"])
        if ray:
            from segvol_core.distributed.serving import serve_on_ray  # noqa: PLC0415

            serve_on_ray(
                address,
                on_ready,
                token=token,
                settings=settings,
                weights=networks,
                device=device,
                replicas=replicas,
                ray_address=ray_address,
                log_file=log_file,
            )
            return

        from segvol_core.server.application import create_app  # noqa: PLC0415
        from segvol_core.server.engine import Engine  # noqa: PLC0415
        from segvol_core.server.serving import load_models  # noqa: PLC0415
        from segvol_core.server.serving import serve as run  # noqa: PLC0415

        models, found_device = load_models(networks, device)
        run(create_app(Engine(models, settings, found_device), token), address, on_ready)
