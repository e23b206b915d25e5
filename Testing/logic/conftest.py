"""A fresh scene for every test, and cases of volumes in every place a CT can be in."""

from pathlib import Path

import pytest
from controller_desk import Desk, small_network
from mrml_application import MrmlApplication


@pytest.fixture(scope="session")
def application(tmp_path_factory) -> MrmlApplication:
    return MrmlApplication(Path(tmp_path_factory.mktemp("slicer")))


@pytest.fixture
def scene(application):
    application.scene.Clear(0)
    yield application.scene
    application.scene.Clear(0)


@pytest.fixture
def desk(scene):
    return Desk(scene)


@pytest.fixture(scope="module")
def small():
    return small_network()
