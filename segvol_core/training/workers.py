"""Several single-threaded processes that share one training: each its own examples, one gradient.

Two processes with one thread each use two cores better than one process with two threads, whose
many small operations wait for each other, above all when the machine has something else to do.
"""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Callable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, multiprocessing, nn

_TIMEOUT = dt.timedelta(hours=6)
"""A training may be paused for a while."""


def run_in_workers(count: int, work: Callable[[int], None]) -> None:
    """Call ``work(rank)`` in ``count`` processes at once, rank 0 in this one.

    The processes are forked, so they share what is in memory already. Each has one thread.

    Raises
    ------
    RuntimeError
        If another process failed.
    """
    torch.set_num_threads(1)
    if count == 1:
        work(0)
        return
    with tempfile.TemporaryDirectory(prefix="segvol-training-") as folder:
        meeting_point = f"file://{folder}/workers"
        context = multiprocessing.get_context("fork")
        others = [
            context.Process(
                target=_join_and_work, args=(rank, count, meeting_point, work), daemon=True
            )
            for rank in range(1, count)
        ]
        for process in others:
            process.start()
        try:
            _join_and_work(0, count, meeting_point, work)
            for process in others:
                process.join()
                if process.exitcode:
                    raise RuntimeError(f"a training process ended with status {process.exitcode}")
        finally:
            for process in others:
                if process.is_alive():
                    process.terminate()


def average_over_workers(model: nn.Module, numbers: Sequence[float]) -> list[float]:
    """Average gradients, in place, and some numbers over all workers.

    A parameter that has a gradient in one worker only counts in the others as one with a gradient
    of zero, as in one process with the examples of all; one that has none anywhere keeps none.
    Without other workers nothing changes.
    """
    if not dist.is_initialized():
        return list(numbers)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    gradients = [
        parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
        for parameter in parameters
    ]
    present = [float(parameter.grad is not None) for parameter in parameters]
    beside = torch.tensor([*present, *numbers], device=gradients[0].device)
    flat = torch.cat([*(gradient.flatten() for gradient in gradients), beside])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    averaged: list[float] = flat[len(flat) - len(beside) :].tolist()
    start = 0
    for parameter, wanted in zip(parameters, averaged, strict=False):
        part: Tensor = flat[start : start + parameter.numel()]
        parameter.grad = part.view_as(parameter) if wanted else None
        start += parameter.numel()
    return averaged[len(parameters) :]


def _join_and_work(rank: int, count: int, meeting_point: str, work: Callable[[int], None]) -> None:
    dist.init_process_group(
        "gloo", init_method=meeting_point, rank=rank, world_size=count, timeout=_TIMEOUT
    )
    try:
        work(rank)
    finally:
        dist.destroy_process_group()
