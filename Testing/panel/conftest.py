"""The panel in a window that is not shown, on the real scene."""

import os
from pathlib import Path

import pytest
from desk import Desk
from mrml_application import MrmlApplication
from stand_in.application import install

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def mrml(tmp_path_factory):
    return MrmlApplication(Path(tmp_path_factory.mktemp("slicer")))


@pytest.fixture(scope="session")
def application(mrml, tmp_path_factory):
    return install(mrml, Path(tmp_path_factory.mktemp("settings")) / "Slicer.ini")


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SEGVOL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def desk(application, mrml, home):
    mrml.scene.Clear(0)
    desk = Desk(application, mrml.scene)
    yield desk
    desk.close()
    mrml.scene.Clear(0)
