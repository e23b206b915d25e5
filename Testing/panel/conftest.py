"""The panel in a window that is not shown, on the real scene, with a real inference process."""

import sys
import time
from pathlib import Path

import pytest
from desk import Desk
from stand_in.application import install

from segvol_core.local_server import LocalServer, Ready, Starting


@pytest.fixture(scope="session")
def application(mrml, tmp_path_factory):
    return install(mrml, Path(tmp_path_factory.mktemp("settings")) / "Slicer.ini")


@pytest.fixture(scope="session")
def process(tmp_path_factory):
    """`segvol serve` with the starter, for all tests that do not start one themselves."""
    logs = tmp_path_factory.mktemp("logs")
    with LocalServer(Path(sys.executable), device="cpu", logs=logs) as server:
        while isinstance(server.poll(), Starting):
            time.sleep(0.02)
        state = server.poll()
        assert isinstance(state, Ready), state
        yield state


@pytest.fixture(autouse=True)
def mistakes(monkeypatch):
    """What was raised where Qt called us, which Qt only prints: nothing, or the test takes it."""
    raised = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, _where: raised.append(error))
    yield raised
    assert raised == []


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGVOL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def make_desk(application, mrml, home):
    """Opens the panel with settings of an earlier session."""
    desks = []

    def make(**settings):
        desks.append(Desk(application, mrml.scene, settings))
        return desks[-1]

    mrml.scene.Clear(0)
    yield make
    for desk in desks:
        desk.close()
    mrml.scene.Clear(0)


@pytest.fixture
def desk(make_desk, process):
    """The panel with the process that runs already."""
    return make_desk(place="server", serverUrl=process.url, serverToken=process.token)


@pytest.fixture
def local_desk(make_desk):
    """The panel as it is first opened."""
    return make_desk()


@pytest.fixture
def volume(desk):
    return desk.add_volume()
