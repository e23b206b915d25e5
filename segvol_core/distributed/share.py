"""How many processes compute at once on a cluster, and what each of them gets."""

from __future__ import annotations

from dataclasses import dataclass

from segvol_core.errors import SegVolError


@dataclass(frozen=True)
class Share:
    """What each of several equal processes gets of a cluster.

    Attributes
    ----------
    count
        Processes.
    gpus
        GPUs of each, 1 or 0.
    threads
        Cores that each computes with.
    """

    count: int
    gpus: int
    threads: int


def share_of_cluster(device: str, count: int | None) -> Share:
    """Divide the cluster that this process is connected to.

    Parameters
    ----------
    device
        ``auto``, ``cpu``, or ``cuda``; Ray gives each process a GPU of its own.
    count
        Processes; by default one for each GPU, or one where there is none.

    Raises
    ------
    SegVolError
        If the cluster does not have that much.
    """
    import ray  # noqa: PLC0415

    resources = ray.cluster_resources()
    return divided(int(resources.get("CPU", 1)), int(resources.get("GPU", 0)), device, count)


def divided(cpus: int, gpus: int, device: str, count: int | None) -> Share:
    """Divide cores and GPUs; see `share_of_cluster`."""
    if device not in ("auto", "cpu", "cuda"):
        raise SegVolError(
            f"With Ray, --device is auto, cpu or cuda, and not {device}: Ray gives each process a "
            "GPU of its own."
        )
    if device == "cuda" and not gpus:
        raise SegVolError("There is no CUDA device in the cluster.")
    on_gpu = gpus > 0 and device != "cpu"
    available, what = (gpus, "GPUs") if on_gpu else (cpus, "CPU cores")
    wanted = (gpus if on_gpu else 1) if count is None else count
    if wanted > available:
        raise SegVolError(
            f"{wanted} processes need as many {what}, and the cluster has {available}."
        )
    return Share(wanted, int(on_gpu), max(1, cpus // wanted))
