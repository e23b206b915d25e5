"""What is missing: asked for once, brought by the real installer, and then on by itself."""

import pytest
from desk import ORGAN_IJK
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from small_wheels import break_wheel, make_wheel
from stand_in_hub import running_hub

from segvol_core.packages.status import read_status
from segvol_core.user_folders import packages_folder
from segvol_core.weights_folder import segvol_file


@pytest.fixture
def wheels(tmp_path, monkeypatch):
    """A Python that lacks packages, as Slicer's, and a folder of wheels: small ones.

    What is required is a small list; the process finds torch in this environment all the same.
    """
    from SegVolPanel import engine_choice, preparation  # noqa: PLC0415 - need the stand-in

    requirements = tmp_path / "requirements.txt"
    requirements.write_text("alpha>=1\n")
    monkeypatch.setattr(engine_choice, "_python_has_all", lambda: False)
    monkeypatch.setattr(preparation, "engine_requirements_file", lambda: requirements)
    monkeypatch.setattr(
        engine_choice,
        "read_status",
        lambda folder: read_status(folder, requirements_file=requirements),
    )
    folder = tmp_path / "wheels"
    make_wheel(folder, "alpha", "1.0")
    return folder


@pytest.fixture
def bare_desk(application, wheels, make_desk):
    """The panel in a Slicer that has just got the extension."""
    return make_desk()


@pytest.fixture
def volume(bare_desk):
    return bare_desk.add_volume()


def dialog(desk):
    asked = desk.panel._engine._dialog
    return asked if asked is not None and asked.widget.visible else None


def test_everything_is_asked_for_once_and_the_first_prompt_is_computed(bare_desk, volume, wheels):
    desk = bare_desk
    desk.panel.poll()
    assert "Packages have to be installed" in desk.said
    assert desk.ui.statusButton.text == "Install…"
    assert desk.state.engine.value == "off"
    assert dialog(desk) is None
    desk.click(desk.ui.addButton)
    asked = dialog(desk)
    assert "PyTorch" in asked.ui.explanationLabel.text
    assert str(packages_folder()) in asked.ui.explanationLabel.text
    desk.place(volume, ORGAN_IJK)
    desk.panel.poll()
    assert desk.state.running
    asked.ui.wheelsButton.setChecked(True)
    assert not asked.ui.goButton.enabled
    asked.ui.wheelsEdit.setCurrentPath(str(wheels))
    desk.click(asked.ui.goButton)
    assert dialog(desk) is None
    assert desk.state.phase.value == "installing"
    assert not desk.ui.installButton.enabled
    seen = set()

    def installed():
        seen.add(desk.said)
        return desk.state.phase.value != "installing"

    desk.until(installed)
    assert any("packages" in said for said in seen)
    assert not any("alpha" in said for said in seen)  # what the installer prints is in the log
    assert "alpha" in desk.ui.logView.toPlainText()
    desk.wait()
    assert desk.has(volume, ORGAN_IJK)
    assert "1 packages are installed" in desk.ui.packagesLabel.text

    desk.ui.engineSection.collapsed = False
    desk.panel.poll()
    desk.click(desk.ui.repairButton)
    desk.until(lambda: "Everything is there already" in desk.said)
    desk.until(lambda: desk.ui.removePackagesButton.enabled)
    desk.click(desk.ui.removePackagesButton)
    assert "being removed" in desk.said
    desk.until(lambda: desk.state.phase.value != "installing")
    desk.until(lambda: desk.ui.installButton.enabled)
    assert not packages_folder().exists()
    assert desk.state.engine.value == "off"
    assert desk.has(volume, ORGAN_IJK)
    desk.click(desk.ui.startButton)
    assert dialog(desk) is not None


def test_not_now_is_taken_for_an_answer(bare_desk, volume):
    desk = bare_desk
    desk.click(desk.ui.addButton)
    desk.click(dialog(desk).ui.laterButton)
    desk.place(volume, ORGAN_IJK)
    for _ in range(5):
        desk.panel.poll()
    assert dialog(desk) is None
    assert "What you gave waits" in desk.said
    desk.click(desk.ui.statusButton)
    assert dialog(desk) is not None


def test_a_server_instead(bare_desk, volume, process):
    desk = bare_desk
    desk.type("liver")
    QTest.keyClick(desk.ui.nameEdit, Qt.Key.Key_Return)
    desk.events()
    desk.click(dialog(desk).ui.serverButton)
    assert desk.ui.placeBox.currentIndex == 1
    assert not desk.ui.engineSection.collapsed
    desk.ui.tokenEdit.setText(process.token)
    desk.ui.urlEdit.setText(process.url)
    desk.ui.urlEdit.editingFinished.emit()
    desk.wait()
    assert desk.names() == ["Liver"]


def test_an_installation_that_fails_says_why_and_can_be_tried_again(bare_desk, volume, wheels):
    desk = bare_desk
    break_wheel(next(wheels.glob("alpha*")))
    desk.ui.engineSection.collapsed = False
    desk.click(desk.ui.installButton)
    asked = dialog(desk)
    asked.ui.wheelsButton.setChecked(True)
    asked.ui.wheelsEdit.setCurrentPath(str(wheels))
    desk.click(asked.ui.goButton)
    desk.until(lambda: desk.state.phase.value != "installing")
    assert desk.said.startswith("⚠")
    assert "log is" in desk.said
    desk.until(lambda: desk.ui.installButton.enabled)


def test_an_installation_can_be_cancelled(bare_desk, volume, wheels, monkeypatch):
    desk = bare_desk
    desk.click(desk.ui.boxButton)
    asked = dialog(desk)
    asked.ui.wheelsButton.setChecked(True)
    asked.ui.wheelsEdit.setCurrentPath(str(wheels))
    desk.click(asked.ui.goButton)
    with monkeypatch.context() as late:  # On a fast machine it would have ended by then.
        late.setattr(desk.controller._installation, "poll", lambda: False)
        desk.click(desk.ui.cancelButton)
        desk.panel.poll()
        assert desk.said == "Cancelling …"
    desk.until(lambda: desk.state.phase.value != "installing")
    assert "Cancelled" in desk.said
    assert not packages_folder().exists()
    desk.until(lambda: not desk.panel._engine.busy)
    assert desk.state.has_prompts


def test_the_published_weights_are_asked_for_with_the_packages(bare_desk, volume):
    desk = bare_desk
    desk.ui.engineSection.collapsed = False
    desk.choose(desk.ui.weightsBox, 1)
    desk.click(desk.ui.addButton)
    asked = dialog(desk)
    assert "PyTorch" in asked.ui.explanationLabel.text
    assert "724 MB" in asked.ui.explanationLabel.text


def test_a_download_says_how_far_it_is_and_why_it_failed(make_desk, monkeypatch):
    with running_hub({"model.safetensors": b"not weights" * 100_000}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        desk = make_desk(engineCollapsed=False)
        desk.panel.poll()
        desk.click(desk.ui.downloadButton)
        desk.panel.poll()
        assert "published weights" in desk.said
        assert desk.ui.cancelButton.enabled
        assert not desk.ui.downloadButton.enabled
        desk.until(lambda: not desk.panel._engine.download.running)
    assert desk.said.startswith("⚠")
    assert not segvol_file().exists()
    desk.until(lambda: desk.ui.downloadButton.enabled)


def test_a_download_can_be_cancelled(make_desk, monkeypatch):
    with running_hub({"model.safetensors": b"not weights" * 100_000}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        desk = make_desk(engineCollapsed=False)
        desk.panel.poll()
        desk.click(desk.ui.downloadButton)
        desk.panel.poll()
        desk.click(desk.ui.cancelButton)
        assert not desk.panel._engine.download.running
        assert "goes on where this one ended" in desk.said


def test_weights_that_were_downloaded_are_not_asked_for(make_desk, home):
    segvol_file().parent.mkdir(parents=True)
    segvol_file().write_bytes(b"")
    desk = make_desk(weights="segvol", engineCollapsed=False)
    desk.panel.poll()
    assert desk.ui.downloadButton.text == "SegVol is downloaded"
    assert not desk.ui.downloadButton.enabled
    assert desk.panel._engine._section.missing == ()
