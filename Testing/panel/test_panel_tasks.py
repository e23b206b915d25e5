"""A user's tasks in the panel, with the real inference process and the starter."""

import numpy as np
import pytest
import slicer.util
from desk import ORGAN_IJK, body

AFFINE = np.diag([-3.0, -3.0, 4.0, 1.0])


@pytest.fixture
def volume(scene_with_desk):
    return slicer.util.addVolumeFromArray(body(), AFFINE, "CT")


@pytest.fixture
def scene_with_desk(desk):
    return desk.scene


def test_a_click_makes_a_segment(desk, volume):
    desk.events()
    desk.click(desk.ui.addButton)
    assert desk.ui.addButton.checked
    desk.place(volume, ORGAN_IJK)
    desk.until(lambda: desk.state.segment_id is not None)
    desk.wait()
    assert desk.mask(volume)[20, 45, 60]
    assert desk.ui.addButton.checked
