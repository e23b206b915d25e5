"""The engine in the panel: started by itself, killed, stopped, elsewhere, with other weights."""

import os
import signal

from desk import ORGAN_IJK, SECOND_IJK
from PySide6.QtCore import QSettings

from segvol_core.local_server import Ready


def pid_of(desk):
    state = desk.controller._requests.engine._reach._server.poll()
    return state.pid if isinstance(state, Ready) else None


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_from_the_first_click_to_a_process_that_was_killed_and_stopped(local_desk):
    desk = local_desk
    volume = desk.add_volume()
    desk.panel.poll()
    assert "engine is starting" in desk.said
    desk.click(desk.ui.addButton)
    desk.place(volume, ORGAN_IJK)
    desk.panel.poll()
    assert "what you gave it is computed next" in desk.said
    desk.wait()
    assert desk.has(volume, ORGAN_IJK)

    first = pid_of(desk)
    desk.place(volume, SECOND_IJK)
    desk.panel.poll()
    os.kill(first, signal.SIGKILL)
    desk.until(lambda: desk.state.engine.value == "starting")
    desk.wait()
    again = pid_of(desk)
    assert again != first
    assert desk.mask(volume).any()

    desk.click(desk.ui.addButton)
    desk.ui.engineSection.collapsed = False
    desk.click(desk.ui.stopButton)
    desk.panel.poll()
    assert not is_running(again)
    assert "engine is off" in desk.said
    assert desk.ui.statusButton.text == "Start"
    desk.until(lambda: not is_running(again))
    desk.panel.poll()
    assert desk.state.engine.value == "off"  # what was stopped stays so until it is wanted
    desk.click(desk.ui.statusButton)
    assert desk.state.engine.value == "starting"
    desk.until(lambda: pid_of(desk) is not None)
    last = pid_of(desk)
    desk.close()
    assert not is_running(last)


def test_weights_that_are_not_there_or_not_weights_are_said(local_desk, tmp_path):
    desk = local_desk
    desk.ui.engineSection.collapsed = False
    desk.choose(desk.ui.weightsBox, 2)
    volume = desk.add_volume()
    desk.panel.poll()
    assert "Choose a file of weights" in desk.said
    assert desk.state.engine.value == "off"
    desk.ui.engineSection.collapsed = True
    desk.click(desk.ui.statusButton)
    assert not desk.ui.engineSection.collapsed
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"no weights")
    desk.ui.weightsFileEdit.setCurrentPath(str(broken))
    desk.click(desk.ui.addButton)
    desk.place(volume, ORGAN_IJK)
    desk.until(lambda: desk.state.engine.value == "failed")
    assert "broken.safetensors" in desk.said
    assert desk.ui.statusButton.text == "Start again"
    assert desk.state.has_prompts
    desk.choose(desk.ui.weightsBox, 0)
    desk.wait()
    assert desk.has(volume, ORGAN_IJK)


def test_device_and_memory_go_to_the_process_and_are_remembered(make_desk):
    desk = make_desk(device="cpu", memoryGb=3, place="computer", engineCollapsed=False)
    choice = desk.panel._engine._section.choice
    assert (choice.device, choice.memory_gb) == ("cpu", 3)
    desk.ui.memoryBox.setValue(2)
    desk.ui.memoryBox.editingFinished.emit()
    desk.choose(desk.ui.deviceBox, 0)
    server = desk.controller._requests.engine._reach._make_server()
    assert server._options == (*("--weights", "starter", "--device", "cpu", "--memory-mb", "3072"),)
    desk.add_volume()
    desk.panel.poll()
    server = desk.controller._requests.engine._reach._make_server()
    assert server._options[3:] == ("auto", "--memory-mb", "2048")
    desk.close()
    desk.open()
    assert desk.ui.memoryBox.value == 2
    assert desk.ui.deviceBox.currentIndex == 0


def test_a_server_that_takes_us_and_one_that_does_not(local_desk, process):
    desk = local_desk
    desk.ui.engineSection.collapsed = False
    desk.choose(desk.ui.placeBox, 1)
    volume = desk.add_volume()
    desk.panel.poll()
    assert "address of the server" in desk.said
    assert not desk.ui.testButton.enabled
    desk.ui.urlEdit.setText(process.url)
    desk.ui.tokenEdit.setText("wrong")
    desk.panel.poll()
    desk.click(desk.ui.testButton)
    desk.until(lambda: "token" in desk.ui.testLabel.text)
    desk.ui.tokenEdit.setText(process.token)
    assert desk.ui.testLabel.text == ""
    desk.until(lambda: desk.ui.testButton.enabled)
    desk.click(desk.ui.testButton)
    desk.until(lambda: "It works: SegVol" in desk.ui.testLabel.text)
    assert "starter" in desk.ui.testLabel.text
    desk.click(desk.ui.addButton)
    desk.place(volume, ORGAN_IJK)
    desk.panel.poll()
    desk.wait()
    assert desk.has(volume, ORGAN_IJK)
    desk.close()
    desk.open()
    assert desk.ui.placeBox.currentIndex == 1
    assert desk.ui.urlEdit.text == process.url


def test_the_token_is_forgotten_with_the_panel_unless_it_is_to_be_remembered(make_desk):
    desk = make_desk(place="server", serverUrl="https://server:1", engineCollapsed=False)
    desk.ui.tokenEdit.setText("secret")
    desk.ui.tokenEdit.editingFinished.emit()
    assert "secret" not in stored_values()
    desk.close()
    desk.open()
    assert desk.ui.tokenEdit.text == ""
    desk.ui.tokenEdit.setText("secret")
    desk.ui.tokenEdit.editingFinished.emit()
    desk.click(desk.ui.rememberTokenBox)
    assert "secret" in stored_values()
    desk.close()
    desk.open()
    assert desk.ui.tokenEdit.text == "secret"
    desk.click(desk.ui.rememberTokenBox)
    assert "secret" not in stored_values()


def stored_values():
    settings = QSettings()
    return [settings.value(key) for key in settings.allKeys()]


def test_a_server_that_cannot_be_reached_is_said_and_a_prompt_waits(make_desk, process):
    desk = make_desk(place="server", serverUrl="http://127.0.0.1:9", serverToken="token")
    volume = desk.add_volume()
    desk.click(desk.ui.addButton)
    desk.place(volume, ORGAN_IJK)
    desk.panel.poll()
    assert desk.state.running
    desk.until(lambda: "cannot be reached" in desk.said)
    assert desk.ui.statusButton.text == "Start again"
    desk.ui.engineSection.collapsed = False
    desk.ui.urlEdit.setText(process.url)
    desk.ui.tokenEdit.setText(process.token)
    desk.ui.tokenEdit.editingFinished.emit()
    desk.wait()
    assert desk.has(volume, ORGAN_IJK)


def test_an_unreadable_certificate_is_said(make_desk, process, tmp_path):
    desk = make_desk(
        place="server",
        serverUrl="https://127.0.0.1:9",
        serverToken="token",
        serverCertificate=str(tmp_path / "none.pem"),
        engineCollapsed=False,
    )
    desk.panel.poll()
    desk.click(desk.ui.testButton)
    desk.until(lambda: desk.ui.testLabel.text not in ("", "Asking …"))
    assert "none.pem" in desk.ui.testLabel.text
