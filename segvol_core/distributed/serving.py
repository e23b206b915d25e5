"""`segvol serve --ray`: a front that listens, and as many replicas as there are GPUs."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segvol_core.distributed.ray_cluster import ray_cluster
from segvol_core.distributed.share import Share, share_of_cluster
from segvol_core.errors import SegVolError
from segvol_core.server.address import Address
from segvol_core.server.settings import Settings

if TYPE_CHECKING:
    from segvol_core.distributed.replica import ReplicaPlan

_APPLICATION = "segvol"
_HEALTH_SECONDS = 1.0
"""How soon Ray Serve notices that a replica has died, and starts another."""
_MAX_ONGOING = 4096
"""More than the front has connections, so that no replica ever turns a session away."""
_START_SECONDS = 60.0


def serve_on_ray(
    address: Address,
    on_ready: Callable[[str], None],
    *,
    token: str,
    settings: Settings,
    weights: tuple[str, ...],
    device: str,
    replicas: int | None = None,
    ray_address: str | None = None,
    log_file: Path | None = None,
) -> None:
    """Serve until the process is told to end.

    Parameters
    ----------
    on_ready
        Called with the URL once all replicas have their networks.
    settings
        Its memory is that of all replicas together, which share it.
    replicas
        By default one for each GPU of the cluster, or one on the CPU.
    ray_address
        Cluster to join; None starts one on this computer.
    log_file
        Log of the front; those of the replicas lie beside it.

    Raises
    ------
    SegVolError
        If Ray is not installed or has too little, the address cannot be used, or the networks
        cannot be loaded.
    """
    cpus = None if replicas is None else max(replicas, os.cpu_count() or 1)
    with ray_cluster(ray_address, cpus=cpus, in_memory=True):
        # Only now: Ray takes its settings from the environment when it is imported.
        from segvol_core.distributed.front import Front  # noqa: PLC0415
        from segvol_core.distributed.replica import ReplicaPlan  # noqa: PLC0415
        from segvol_core.server.gate import Gate  # noqa: PLC0415
        from segvol_core.server.serving import HttpServer  # noqa: PLC0415

        share = share_of_cluster(device, replicas)
        each = replace(settings, memory_bytes=settings.memory_bytes // share.count)
        plan = ReplicaPlan(weights, device, each, token, share.threads, log_file)
        with _deployed(plan, share, joined=ray_address is not None) as handle:
            front = Gate(Front(handle), token, settings.max_json_bytes)
            with contextlib.suppress(KeyboardInterrupt):
                HttpServer(front, address, on_ready).run()


@contextlib.contextmanager
def _deployed(plan: ReplicaPlan, share: Share, *, joined: bool) -> Iterator[Any]:
    """Yield Ray Serve's handle of replicas that have their networks."""
    from ray import serve  # noqa: PLC0415
    from ray.serve.config import RequestRouterConfig  # noqa: PLC0415

    from segvol_core.distributed.replica import Replica  # noqa: PLC0415
    from segvol_core.distributed.sticky_router import StickyRouter  # noqa: PLC0415

    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    quiet = {"log_level": "WARNING", "enable_access_log": False}
    router = RequestRouterConfig(
        request_router_class=StickyRouter,
        request_router_kwargs={"forget_seconds": plan.settings.keep_volume_seconds},
    )
    deployment = serve.deployment(
        Replica,
        num_replicas=share.count,
        max_ongoing_requests=_MAX_ONGOING,
        ray_actor_options={"num_cpus": 0 if share.gpus else 1, "num_gpus": share.gpus},
        health_check_period_s=_HEALTH_SECONDS,
        graceful_shutdown_timeout_s=_HEALTH_SECONDS,
        request_router_config=router,
        logging_config=quiet,
    )
    # No HTTP server of Ray's: it takes any message whole into memory before a token is asked for.
    serve.start(proxy_location="Disabled", logging_config=quiet)
    try:
        handle = serve.run(deployment.bind(plan), name=_APPLICATION, route_prefix=None)
        _check_started(handle, share.count)
        yield handle
    finally:
        if joined:
            serve.delete(_APPLICATION)


def _check_started(handle: Any, count: int) -> None:
    # The router gives new sessions to the replicas in turn.
    for number in range(count):
        asked = handle.options(session_id=f"start-{number}").problem.remote()
        problem = asked.result(timeout_s=_START_SECONDS)
        if problem is not None:
            raise SegVolError(problem)
