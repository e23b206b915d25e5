"""Names typed in the panel: completion, lists, near names for unknown ones."""

import numpy as np
import pytest
from desk import ORGAN_IJK
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from segvol_core.organs import find
from SegVolLogic.labelmap_layers import segment_ids
from SegVolLogic.segment_tags import stored_prompts
from SegVolLogic.segments import record_of


@pytest.fixture
def volume(desk):
    return desk.add_volume()


def segments(desk):
    return list(segment_ids(desk.state.segmentation_node))


def press(desk, key):
    """A key for the list of names if it is open, else for the field."""
    target = QApplication.activePopupWidget() or desk.ui.nameEdit
    QTest.keyClick(target, key)
    desk.events()


def test_names_with_commas_make_a_segment_each(desk, volume):
    desk.type("liver, left kidney")
    press(desk, Qt.Key.Key_Return)
    assert desk.names() == ["Liver", "Left kidney"]
    assert desk.ui.nameEdit.text == ""
    desk.wait()
    liver = record_of(desk.state.segmentation_node, segments(desk)[0])
    assert "Liver" in liver.terminology
    assert np.round(np.array(liver.color) * 255).astype(int).tolist() == list(find("liver").color)


def test_the_button_does_what_enter_does(desk, volume):
    assert not desk.ui.nameButton.enabled
    desk.type("spleen")
    desk.click(desk.ui.nameButton)
    assert desk.names() == ["Spleen"]


def test_each_name_of_a_list_is_completed(desk, volume):
    desk.type("liver, lef kidn")
    assert desk.panel._prompts.offered_names[0] == "left kidney"
    press(desk, Qt.Key.Key_Down)
    assert desk.ui.nameEdit.text == "liver, left kidney"
    press(desk, Qt.Key.Key_Return)
    assert desk.names() == ["Liver", "Left kidney"]


def test_enter_takes_the_name_that_is_marked_in_the_list(desk, volume):
    desk.type("liver, splee")
    press(desk, Qt.Key.Key_Down)
    press(desk, Qt.Key.Key_Return)
    assert desk.names() == ["Liver", "Spleen"]


def test_once_names_are_taken_letters_are_keys_again(desk, volume):
    desk.key("N")
    desk.type("liver")
    press(desk, Qt.Key.Key_Return)
    assert QApplication.focusWidget() is not desk.ui.nameEdit
    desk.key("A")
    assert desk.ui.addButton.checked
    desk.key("N")
    press(desk, Qt.Key.Key_Escape)
    assert QApplication.focusWidget() is not desk.ui.nameEdit


def test_a_name_without_a_comma_before_it_is_completed(desk, volume):
    desk.type("duoden")
    assert desk.panel._prompts.offered_names == ["duodenum"]
    press(desk, Qt.Key.Key_Down)
    assert desk.ui.nameEdit.text == "duodenum"


def test_an_unknown_name_offers_the_nearest_ones_and_loses_nothing(desk, volume):
    desk.type("livr")
    press(desk, Qt.Key.Key_Escape)
    press(desk, Qt.Key.Key_Return)
    assert "no organ called “livr”" in desk.said
    assert desk.names() == []
    assert desk.ui.nameEdit.text == "livr"
    assert "liver" in desk.panel._prompts.offered_names
    press(desk, Qt.Key.Key_Down)
    assert desk.ui.nameEdit.text == "liver"
    press(desk, Qt.Key.Key_Return)
    assert desk.names() == ["Liver"]
    assert "no organ" not in desk.said


def test_an_unknown_name_among_known_ones_is_the_one_that_is_replaced(desk, volume):
    desk.type("livr, spleen")
    press(desk, Qt.Key.Key_Escape)
    press(desk, Qt.Key.Key_Return)
    assert "livr" in desk.said
    press(desk, Qt.Key.Key_Down)
    assert desk.ui.nameEdit.text == "liver, spleen"
    press(desk, Qt.Key.Key_Return)
    assert desk.names() == ["Liver", "Spleen"]


def test_names_in_quotes_are_left_alone_when_another_is_unknown(desk, volume):
    desk.type('"mass, left", livr')
    press(desk, Qt.Key.Key_Escape)
    press(desk, Qt.Key.Key_Return)
    press(desk, Qt.Key.Key_Down)
    assert desk.ui.nameEdit.text == '"mass, left", liver'


def test_a_name_that_needs_a_side_offers_both(desk, volume):
    desk.type("parotid")
    press(desk, Qt.Key.Key_Escape)
    press(desk, Qt.Key.Key_Return)
    assert "needs a side" in desk.said
    assert len(desk.panel._prompts.offered_names) == 2


def test_text_in_quotes_is_taken_as_it_is(desk, volume):
    desk.type('"aneurysm of the aorta"')
    assert desk.panel._prompts.offered_names == []
    press(desk, Qt.Key.Key_Return)
    assert desk.names() == ["Aneurysm of the aorta"]


def test_a_text_that_is_too_long_is_said(desk, volume):
    desk.ui.nameEdit.setText("x" * 300)
    desk.type("y")
    press(desk, Qt.Key.Key_Return)
    assert "200 characters" in desk.said
    assert desk.names() == []


def test_a_name_goes_with_the_clicks_of_a_segment(desk, volume):
    desk.type("liver")
    assert not desk.ui.nameHereButton.enabled
    desk.click(desk.ui.addButton)
    desk.place(volume, ORGAN_IJK)
    desk.panel.poll()
    desk.click(desk.ui.nameHereButton)
    assert desk.names() == ["Liver"]
    prompts = stored_prompts(desk.state.segmentation_node, desk.state.segment_id)
    assert prompts.text == "liver"
    assert len(prompts.points) == 1
    assert desk.ui.nameEdit.text == ""


def test_enter_in_an_empty_field_does_nothing(desk, volume):
    desk.ui.nameEdit.setFocus()
    press(desk, Qt.Key.Key_Return)
    assert desk.names() == []


def test_a_clicked_segment_is_named_with_one_click(desk, volume):
    row = desk.ui.suggestionRow
    assert not row.isVisible()
    desk.click(desk.ui.addButton)
    desk.place(volume, ORGAN_IJK)
    desk.until(row.isVisible)
    mask = desk.mask(volume)
    assert mask[tuple(reversed(ORGAN_IJK))]
    name, share = desk.ui.suggestion1Button.text.split(" (")
    assert share.endswith(" %)")
    desk.click(desk.ui.suggestion1Button)
    assert desk.names() == [name]
    assert not row.isVisible()
    segment = record_of(desk.state.segmentation_node, desk.state.segment_id)
    assert np.round(np.array(segment.color) * 255).astype(int).tolist() == list(find(name).color)
    np.testing.assert_array_equal(desk.mask(volume), mask)
    desk.key("Z")
    assert desk.names() == ["Segment_1"]


def test_a_name_that_is_not_in_the_vocabulary_is_offered_as_it_is(desk, volume):
    desk.click(desk.ui.addButton)
    desk.place(volume, ORGAN_IJK)
    desk.until(lambda: desk.state.names)
    # What a network of someone's own may answer.
    names = (("stent of the aorta", 0.9), ("kidney", 0.04))
    desk.controller._results._names[desk.state.segment_id] = names
    desk.panel.poll()
    assert desk.ui.suggestion1Button.text == "Stent of the aorta (90 %)"
    # What fits no better than chance is no help.
    assert not desk.ui.suggestion2Button.isVisible()
    desk.click(desk.ui.suggestion1Button)
    assert desk.names() == ["Stent of the aorta"]
