"""Pictures of the panel's main states, in `build/panel`, for people to look at; and its width."""

import sys
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


@pytest.fixture
def styles(application):
    """The palettes by name; the one before is there again afterwards."""
    before = QApplication.palette()
    QApplication.setStyle("Fusion")
    yield {"light": QApplication.style().standardPalette(), "dark": dark_palette()}
    QApplication.setPalette(before)


@pytest.fixture
def photograph(styles):
    """Takes a picture of a widget in every style."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in FOLDER.glob("*.png"):
        old.unlink()

    def take(widget, name):
        for style, palette in styles.items():
            QApplication.setPalette(palette)
            QApplication.processEvents()
            assert widget.grab().save(str(FOLDER / f"{style}-{name}.png"))

    return take


def test_the_panel_fits_and_can_be_looked_at(local_desk, photograph):
    desk = local_desk
    photograph(desk.window, "1-empty")
    volume = desk.add_volume(name="CT chest")
    photograph(desk.window, "2-starting")
    desk.click(desk.ui.addButton)
    desk.place(volume, ORGAN_IJK)
    desk.panel.poll()
    photograph(desk.window, "3-waiting")
    desk.wait()
    desk.until(desk.ui.suggestionRow.isVisible)
    photograph(desk.window, "4-named")
    desk.place(volume, (300, 45, 20))
    desk.panel.poll()
    photograph(desk.window, "5-stray-click")
    desk.type("liver, spl")
    desk.panel.poll()
    photograph(QApplication.activePopupWidget(), "6-names-offered")
    desk.ui.engineSection.collapsed = False
    desk.ui.shortcutsSection.collapsed = False
    desk.window.resize(SLICERS_WIDTH, 1150)
    photograph(desk.window, "7-unfolded")
    desk.ui.placeBox.currentIndex = 1
    desk.panel.poll()
    photograph(desk.window, "8-server")
    missing = sys.modules["SegVolPanel.engine_choice"].Missing
    desk.panel._engine._ask_for((missing.PACKAGES, missing.WEIGHTS))
    photograph(desk.panel._engine._dialog.widget, "9-what-is-missing")
    assert desk.panel.widget.minimumSizeHint.width() <= SLICERS_WIDTH
    assert len(list(FOLDER.glob("*.png"))) == 18


def test_what_clicks_do_can_be_seen_in_every_style(desk, styles):
    desk.add_volume()
    desk.panel.poll()
    for palette in styles.values():
        QApplication.setPalette(palette)
        desk.events()
        off = background(desk.ui.addButton)
        assert background(desk.ui.excludeButton) == off
        desk.click(desk.ui.addButton)
        on = background(desk.ui.addButton)
        assert sum(abs(a - b) for a, b in zip(on, off, strict=True)) > 100
        desk.click(desk.ui.addButton)
        assert background(desk.ui.addButton) == off


def background(button):
    """Colour (red, green, blue) of a button beside what is written on it."""
    color = button.grab().toImage().pixelColor(12, button.height // 2)
    return color.red(), color.green(), color.blue()
