"""Pictures of the panel's main states, in `build/panel`, for people to look at; and its width."""

from pathlib import Path

import pytest
from desk import ORGAN_IJK
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QApplication

FOLDER = Path(__file__).parents[2] / "build" / "panel"
SLICERS_WIDTH = 400
"""Pixels of Slicer's module panel as it is at first."""


def dark_palette():
    """Colours near those of Slicer's dark style."""
    palette = QPalette()
    for role, color in {
        QPalette.ColorRole.Window: "#353535",
        QPalette.ColorRole.WindowText: "#ffffff",
        QPalette.ColorRole.Base: "#232323",
        QPalette.ColorRole.Text: "#ffffff",
        QPalette.ColorRole.Button: "#454545",
        QPalette.ColorRole.ButtonText: "#ffffff",
        QPalette.ColorRole.ToolTipBase: "#353535",
        QPalette.ColorRole.ToolTipText: "#ffffff",
        QPalette.ColorRole.Highlight: "#2a82da",
        QPalette.ColorRole.PlaceholderText: "#a0a0a0",
    }.items():
        palette.setColor(role, QColor(color))
    for role in (
        QPalette.ColorRole.WindowText,
        QPalette.ColorRole.Text,
        QPalette.ColorRole.ButtonText,
    ):
        palette.setColor(QPalette.ColorGroup.Disabled, role, QColor("#808080"))
    return palette


@pytest.fixture(params=["light", "dark"])
def style(request, application):
    before = QApplication.palette()
    QApplication.setStyle("Fusion")
    if request.param == "dark":
        QApplication.setPalette(dark_palette())
    yield request.param
    QApplication.setPalette(before)


def photograph(desk, name):
    FOLDER.mkdir(parents=True, exist_ok=True)
    desk.events()
    picture = desk.window.grab()
    picture.save(str(FOLDER / f"{name}.png"))
    return picture


def test_the_panel_fits_and_can_be_looked_at(style, local_desk):
    desk = local_desk
    photograph(desk, f"{style}-1-empty")
    volume = desk.add_volume(name="CT chest")
    photograph(desk, f"{style}-2-starting")
    desk.click(desk.ui.addButton)
    desk.place(volume, ORGAN_IJK)
    desk.until(lambda: desk.state.running)
    photograph(desk, f"{style}-3-waiting")
    desk.wait()
    desk.type("liver, spl")
    photograph(desk, f"{style}-4-segment")
    desk.ui.engineSection.collapsed = False
    desk.ui.shortcutsSection.collapsed = False
    desk.window.resize(SLICERS_WIDTH, 1150)
    photograph(desk, f"{style}-5-unfolded")
    desk.ui.placeBox.currentIndex = 1
    photograph(desk, f"{style}-6-server")
    assert desk.panel.widget.minimumSizeHint.width() <= SLICERS_WIDTH
    assert len(list(FOLDER.glob(f"{style}-*.png"))) == 6
