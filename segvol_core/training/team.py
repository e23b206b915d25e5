"""The processes of a training: one, several on this computer's CPU, or those of torchrun."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

_TIMEOUT = dt.timedelta(hours=6)
"""One process may prepare cases, or validate, while the others wait."""


@dataclass(frozen=True)
class Member:
    """A process among those of a training."""

    rank: int
    processes: int

    @property
    def leads(self) -> bool:
        """Whether this one writes files and speaks."""
        return self.rank == 0


def is_torchrun() -> bool:
    """Whether torchrun has started this process."""
    return dist.is_torchelastic_launched()


@contextmanager
def torchrun_team(device: torch.device) -> Iterator[Member]:
    """Join the processes that torchrun has started."""
    backend = "nccl" if device.type == "cuda" else "gloo"
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group(backend, timeout=_TIMEOUT)
    try:
        yield Member(dist.get_rank(), dist.get_world_size())
        # Nobody leaves while another still sends: gloo's threads would end the process by a signal.
        dist.barrier()
    finally:
        dist.destroy_process_group()


def local_rank() -> int:
    """Number of this process on its computer."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def this_member() -> Member:
    """The process that asks, in a team or alone."""
    if not dist.is_initialized():
        return Member(0, 1)
    return Member(dist.get_rank(), dist.get_world_size())


def told_by_the_leader(member: Member, say: Callable[[], Any]) -> Any:
    """What the leader says; it is asked in the leading process only.

    An exception of the leader is raised in all processes.
    """
    if member.processes == 1:
        return say()
    said: list[Any] = [None, None]
    if member.leads:
        try:
            said[0] = say()
        except Exception as error:  # noqa: BLE001  # Raised again below, after the others know.
            said[1] = error
    dist.broadcast_object_list(said, src=0)
    if said[1] is not None:
        raise said[1]
    return said[0]


def share_weights(model: nn.Module) -> None:
    """Give all processes the weights of the leader."""
    if dist.is_initialized():
        for tensor in model.state_dict().values():
            dist.broadcast(tensor, src=0)


def is_leading_process() -> bool:
    """Whether this process is the one that writes and speaks, before any team is joined."""
    return not is_torchrun() or os.environ.get("RANK", "0") == "0"
