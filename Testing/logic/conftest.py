"""A fresh scene for every test, and cases of volumes in every place a CT can be in."""

import pytest
from controller_desk import Desk, small_network


@pytest.fixture
def scene(mrml):
    mrml.scene.Clear(0)
    yield mrml.scene
    mrml.scene.Clear(0)


@pytest.fixture
def desk(scene):
    return Desk(scene)


@pytest.fixture(scope="module")
def small():
    return small_network()
