"""Things that several test files of the server use."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from running_server import RunningServer, StepByStep, running_server
from small_network import small_network, small_volume

from segvol_core.model.segvol import SegVol
from segvol_core.server import worker
from segvol_core.session import Session
from segvol_core.volume import Volume


@pytest.fixture(scope="session")
def network() -> SegVol:
    return small_network()


@pytest.fixture(scope="session")
def volume() -> Volume:
    return small_volume()


@pytest.fixture(scope="session")
def here(network: SegVol, volume: Volume) -> Session:
    """The same volume, segmented in this process."""
    return Session(network, volume)


@pytest.fixture(scope="module")
def server(network: SegVol) -> Iterator[RunningServer]:
    with running_server({"small": network}) as running:
        yield running


@pytest.fixture
def steps(network: SegVol) -> Iterator[StepByStep]:
    """Hold back the network, which the server then takes from test to test."""
    held = StepByStep(network)
    yield held
    held.remove()


@pytest.fixture
def even_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every step of the servers count as long as any other.

    Else whose turn it is would depend on what the machine does beside the test.
    """
    ticks = itertools.count(time.perf_counter())
    clock = SimpleNamespace(monotonic=time.monotonic, perf_counter=lambda: next(ticks))
    monkeypatch.setattr(worker, "time", clock)
