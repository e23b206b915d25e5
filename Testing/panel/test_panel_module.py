"""The module in Slicer: its texts, its tool tips, being reloaded; how strict the stand-in is."""

import ast
import sys
from pathlib import Path

import pytest
import slicer
from desk import MODULE
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QComboBox, QLineEdit, QSlider, QSpinBox

PANEL = MODULE.parent / "SegVolPanel"


def test_slicer_is_told_what_it_shows(local_desk):
    about = local_desk.about
    assert about.title == "SegVol"
    assert about.categories == ["Segmentation"]
    assert "clinical" in about.helpText
    assert "SegVol" in about.acknowledgementText


def test_everything_that_can_be_used_has_a_tool_tip(local_desk):
    ui = local_desk.ui
    usable = {
        name: widget
        for name, widget in vars(ui).items()
        if isinstance(widget, QAbstractButton | QComboBox | QLineEdit | QSlider | QSpinBox)
        and not name.startswith("qt_")
        and not name.endswith("Section")
        and name != "statusButton"
    }
    assert len(usable) > 25
    without = [name for name, widget in usable.items() if not widget.toolTip]
    assert without == []


def test_the_volume_that_slicer_shows_is_chosen(make_desk):
    desk = make_desk()
    desk.add_volume(name="first")
    shown = desk.add_volume(seed=1, name="shown")
    desk.close()
    desk.scene.RemoveNode(desk.scene.GetSingletonNode("SegVol", "vtkMRMLScriptedModuleNode"))
    selection = slicer.app.applicationLogic().GetSelectionNode()
    selection.SetActiveVolumeID(shown.GetID())
    desk.open()
    assert desk.state.volume_node is shown


def test_a_reloaded_module_works_and_the_one_before_is_gone(local_desk, monkeypatch):
    desk = local_desk
    before = {
        name: module
        for name, module in sys.modules.items()
        if name.partition(".")[0]
        in ("SegVolPanel", "SegVolExtension", "SegVolLogic", "segvol_core")
    }
    old = desk.panel
    monkeypatch.setattr(slicer.util, "reloadScriptedModule", lambda name: None)
    try:
        desk.module.onReload()
        assert old.heartbeat.running is False
        assert old.controller.state.phase.value == "closed"
        assert "SegVolPanel.panel" not in sys.modules
        desk.close()
        desk.open(reloaded=True)
        assert type(desk.panel) is not type(old)
        assert desk.panel.heartbeat.running
        desk.add_volume()
        assert desk.ui.addButton.enabled
        desk.key("A")
        assert desk.ui.addButton.checked
        desk.close()
    finally:
        sys.modules.update(before)


def test_the_timer_rests_while_nothing_is_shown_or_done(local_desk):
    desk = local_desk
    desk.module.exit()
    desk.until(lambda: not desk.panel.heartbeat.running)
    desk.module.enter()
    assert desk.panel.heartbeat.running


def test_a_mistake_of_the_panel_is_said_and_is_not_repeated_again_and_again(
    local_desk, monkeypatch, mistakes
):
    desk = local_desk
    heartbeat = sys.modules["SegVolPanel.heartbeat"]
    monkeypatch.setattr(heartbeat, "AFTER_A_FAULT_MILLISECONDS", 400)
    calls = []

    def fail():
        calls.append(True)
        raise RuntimeError("on purpose")

    with monkeypatch.context() as broken:
        broken.setattr(desk.controller, "poll", fail)
        desk.until(lambda: "made a mistake" in desk.said)
        QTest.qWait(200)
        assert len(calls) == 1
    assert str(mistakes.pop()) == "on purpose"
    desk.until(lambda: desk.panel.heartbeat._timer.interval == heartbeat.SHOWN_MILLISECONDS)
    assert desk.panel.heartbeat.running


def test_every_text_for_the_user_can_be_translated():
    """Arguments of ``_`` are plain texts: a tool collects them from the source."""
    count = 0
    for path in sorted(PANEL.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "_":
                assert isinstance(node.args[0], ast.Constant), f"{path.name}:{node.lineno}"
                count += 1
    assert count > 40


def test_nothing_heavy_is_imported_before_the_panel_is_opened():
    tree = ast.parse(Path(MODULE).read_text("utf-8"))
    names = {
        name
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
        )
    }
    allowed = {"sys", "typing", "pathlib", "slicer", "slicer.ScriptedLoadableModule"}
    assert names <= allowed | {"SegVolExtension.self_test"}


def test_the_stand_in_is_as_strict_as_pythonqt(application):
    import qt  # noqa: PLC0415 - only there once it is installed

    button = qt.QPushButton("text")
    assert button.text == "text"
    button.text = "other"
    assert button.text == "other"
    with pytest.raises(TypeError):
        button.text()
    with pytest.raises(AttributeError):
        button.something = 1
    with pytest.raises(AttributeError):
        button.set_text("snake case")
    with pytest.raises(TypeError):
        button.setText(arg__1="keyword")
    with pytest.raises(TypeError):
        qt.QPushButton(text="keyword")
    with pytest.raises(AttributeError):
        button.connect("clickd()", print)
    with pytest.raises(AttributeError):
        button.findChild(object)
    with pytest.raises(AttributeError):
        _ = qt.QNoSuchThing
    timer = qt.QTimer()
    with pytest.raises(AttributeError):
        timer.singleShot = True
    timer.setSingleShot(True)
    with pytest.raises(AttributeError):
        button.className = "no"
    assert button.className() == "QPushButton"
