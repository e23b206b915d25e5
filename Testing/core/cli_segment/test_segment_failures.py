"""What goes wrong inside `segvol segment` ends with its exit code, and in a line."""

from __future__ import annotations

import pytest
import torch
from segment_command import only_mask_in

from segvol_core.cli import segmenting
from segvol_core.weights import load_model


def test_verbose_adds_where_an_error_comes_from(segment):
    result = segment("--text", "liver", "--point", "0,0,400", "--verbose")
    assert result.exit_code == 2
    assert "Traceback" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("Error: The point at (0, 0, 400)")


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let writing fail: the last step, when everything has been computed."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(segmenting, "write_segmentation", fail)


def test_a_fault_of_the_program_is_exit_code_1_and_one_line(segment, monkeypatch):
    fail_with(monkeypatch, ZeroDivisionError("division\nby zero"))
    result = segment("--text", "liver")
    assert result.exit_code == 1
    assert result.stderr == (
        "Error: a fault of the program (ZeroDivisionError: division by zero). "
        "--verbose shows where.\n"
    )
    assert "Traceback" in segment("--text", "liver", "--verbose").stderr


def no_memory() -> Exception:
    """What PyTorch raises when the computer has no memory left."""
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**55)
    return raised.value


@pytest.mark.parametrize("error", [MemoryError(), no_memory()])
def test_a_computer_without_memory_is_told_so(segment, monkeypatch, error):
    fail_with(monkeypatch, error)
    result = segment("--text", "liver")
    assert result.exit_code == 1
    assert result.stderr == "Error: the memory of this computer does not suffice.\n"


def test_a_gpu_without_room_for_the_network_leaves_it_to_the_cpu(segment, monkeypatch, out):
    devices = []

    def load_where_there_is_room(weights, device):
        devices.append(str(device))
        if len(devices) == 1:
            raise torch.OutOfMemoryError
        return load_model(weights, device)

    monkeypatch.setattr(segmenting, "load_model", load_where_there_is_room)
    result = segment("--text", "liver")
    assert result.exit_code == 0
    assert result.stderr == (
        "Warning: The GPU's memory does not suffice for the network: going on with the CPU.\n"
    )
    assert devices[1] == "cpu"
    assert only_mask_in(out).any()


def test_cancelling_is_exit_code_130(segment, monkeypatch, out):
    fail_with(monkeypatch, KeyboardInterrupt())
    result = segment("--text", "liver")
    assert result.exit_code == 130
    assert result.stderr == "Cancelled.\n"
    assert not out.exists()
