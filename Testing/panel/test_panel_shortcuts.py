"""Keys of the panel: each does what it says, and only while the panel is shown."""

import numpy as np
import pytest
from desk import ORGAN_IJK
from PySide6.QtWidgets import QApplication

SLICERS_OWN = {
    *("B", "F", "V", "R", "G", "T", "[", "]", "{", "}", "+", "-", "Left", "Right", "Up", "Down"),
    *("Home", "End", "PgUp", "PgDown", "Ins", "Ctrl+B", "Ctrl+F", "Ctrl+O", "Ctrl+S", "Ctrl+W"),
    *("Ctrl+0", "Ctrl+1", "Ctrl+2", "Ctrl+3", "Ctrl+4", "Ctrl+5", "Ctrl+H", "Ctrl+G", "Ctrl+Z"),
}
"""Slicer's user guide, chapter "Mouse & Keyboard Shortcuts"."""

KEYS = ("A", "D", "X", "N", "Z", "Shift+Z", "M", "Shift+C", "Ctrl+Return", "Ctrl+.")


@pytest.fixture
def volume(desk):
    return desk.add_volume()


def test_every_key_is_tried_here_and_none_is_slicers(desk):
    keys = [shortcut.key for shortcut in desk.panel._shortcuts._shortcuts]
    assert sorted(keys) == sorted(KEYS)
    assert not SLICERS_OWN & set(keys)
    for key in keys:
        assert f"<b>{key}</b>" in desk.ui.shortcutsLabel.text


def test_a_d_place_points(desk, volume):
    desk.key("A")
    assert desk.ui.addButton.checked
    desk.key("D")
    assert desk.ui.excludeButton.checked
    desk.key("D")
    assert not desk.ui.excludeButton.checked


def test_x_puts_a_box(desk, volume):
    desk.key("X")
    assert desk.ui.boxButton.checked
    desk.key("X")
    assert not desk.ui.boxButton.checked


def test_n_goes_to_the_names_where_letters_are_letters(desk, volume):
    desk.key("N")
    assert QApplication.focusWidget() is desk.ui.nameEdit
    for key in "adxz":
        desk.key(key)
    assert desk.ui.nameEdit.text == "adxz"
    assert not desk.ui.addButton.checked


def test_z_and_shift_z_undo_and_redo(desk, volume):
    desk.key("A")
    desk.place(volume, ORGAN_IJK)
    desk.panel.poll()
    desk.wait()
    mask = desk.mask(volume)
    desk.key("Z")
    assert desk.names() == []
    desk.key("Shift+Z")
    np.testing.assert_array_equal(desk.mask(volume), mask)


def test_m_shift_c_and_run_and_cancel(desk, volume):
    desk.wait()
    desk.key("A")
    desk.place(volume, ORGAN_IJK)
    desk.panel.poll()
    assert desk.state.running
    desk.key("Ctrl+.")
    assert not desk.state.running
    desk.key("Ctrl+Return")
    assert desk.state.running
    desk.wait()
    desk.key("Shift+C")
    assert not desk.mask(volume).any()
    desk.place(volume, ORGAN_IJK)
    desk.panel.poll()
    desk.key("M")
    assert desk.names() == ["Segment_1", "Segment_2"]


def test_no_key_works_while_another_module_is_shown(desk, volume):
    desk.module.exit()
    for key in KEYS:
        desk.key(key)
    assert not desk.ui.addButton.checked
    assert desk.names() == []
    desk.module.enter()
    desk.key("A")
    assert desk.ui.addButton.checked
