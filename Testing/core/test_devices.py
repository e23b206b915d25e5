"""Devices: chosen by name, and a sentence for one that is not there."""

from __future__ import annotations

import pytest
import torch

from segvol_core.devices import available_devices, choose_device
from segvol_core.errors import SegVolError

CUDA = torch.cuda.device_count() if torch.cuda.is_available() else 0


def test_auto_is_the_first_cuda_device_or_else_the_cpu():
    assert choose_device() == torch.device("cuda:0" if CUDA else "cpu")
    assert str(choose_device("auto")) == available_devices()[0].name


def test_every_device_that_is_listed_can_be_chosen_and_computes():
    devices = available_devices()
    assert "cpu" in [device.name for device in devices]
    for device in devices:
        chosen = choose_device(device.name)
        assert str(chosen) == device.name
        assert torch.ones(3, device=chosen).sum().item() == 3
        assert device.description
        if chosen.type == "cuda":
            assert device.memory_bytes == torch.cuda.mem_get_info(chosen)[1]


def test_cuda_alone_is_the_first_one_if_there_is_one():
    if CUDA:
        assert choose_device("cuda") == torch.device("cuda:0")
    else:
        with pytest.raises(SegVolError, match="no CUDA device 0 here"):
            choose_device("cuda")


def test_a_cuda_device_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(
        SegVolError, match=rf"no CUDA device {CUDA} here.*Available: .*cpu"
    ) as error:
        choose_device(f"cuda:{CUDA}")
    without_cuda = torch.version.cuda is None and torch.version.hip is None
    assert ("installed without CUDA" in str(error.value)) == without_cuda


def test_an_apple_gpu_is_chosen_only_if_there_is_one():
    if torch.backends.mps.is_available():
        assert choose_device("mps") == torch.device("mps")
    else:
        with pytest.raises(SegVolError, match="no Apple GPU"):
            choose_device("mps")


@pytest.mark.parametrize("name", ["", "gpu", "cuda:", "cuda:-1", "cuda:x", "CPU"])
def test_an_unknown_name_is_refused_with_the_known_ones(name):
    with pytest.raises(
        SegVolError, match=f"no device “{name}”: give auto, cpu, cuda, cuda:N or mps"
    ):
        choose_device(name)
