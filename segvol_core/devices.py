"""What a network can run on: found, chosen by name, and described."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass

import torch

from segvol_core.errors import SegVolError

_NAMES = "auto, cpu, cuda, cuda:N or mps"


@dataclass(frozen=True)
class Device:
    """A device of this computer.

    Attributes
    ----------
    name
        What `choose_device` takes.
    description
        Its maker's name.
    memory_bytes
        All memory of a GPU; None for the CPU and for Apple's GPU, which share the computer's.
    """

    name: str
    description: str
    memory_bytes: int | None = None


def available_devices() -> list[Device]:
    """Return every device that can be chosen here, the one that `auto` takes first."""
    devices = []
    for index in range(_cuda_count()):
        properties = torch.cuda.get_device_properties(index)
        devices.append(Device(f"cuda:{index}", properties.name, properties.total_memory))
    devices.append(Device("cpu", platform.processor() or platform.machine()))
    if torch.backends.mps.is_available():
        devices.append(Device("mps", "Apple GPU"))
    return devices


def choose_device(name: str = "auto") -> torch.device:
    """Return a device by name; `auto` is the first CUDA device if there is one, else the CPU.

    Raises
    ------
    SegVolError
        If there is no such device; the sentence says what there is.
    """
    if name == "auto":
        return torch.device("cuda:0" if _cuda_count() else "cpu")
    if name == "cpu":
        return torch.device("cpu")
    if name == "mps":
        if not torch.backends.mps.is_available():
            raise SegVolError(f"There is no Apple GPU (mps) here. {_what_there_is()}")
        return torch.device("mps")
    cuda = re.fullmatch(r"cuda(?::(\d+))?", name)
    if cuda is None:
        raise SegVolError(f"There is no device “{name}”: give {_NAMES}.")
    index = int(cuda[1] or 0)
    if index >= _cuda_count():
        reason = ""
        if torch.version.cuda is None and torch.version.hip is None:
            reason = " PyTorch was installed without CUDA."
        raise SegVolError(f"There is no CUDA device {index} here.{reason} {_what_there_is()}")
    return torch.device("cuda", index)


def _cuda_count() -> int:
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _what_there_is() -> str:
    return f"Available: {', '.join(device.name for device in available_devices())}."
