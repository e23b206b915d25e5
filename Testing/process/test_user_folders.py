"""Packages and logs are where each system keeps such things, or where the user says."""

from __future__ import annotations

from pathlib import Path

import pytest

from segvol_core.user_folders import log_folder, packages_folder


@pytest.mark.parametrize(
    ("platform", "packages", "log"),
    [
        ("linux", ".local/share/segvol/packages/py3.12", ".local/state/segvol/log"),
        ("darwin", "Library/Application Support/segvol/packages/py3.12", "Library/Logs/segvol/log"),
        ("win32", "AppData/Local/segvol/packages/py3.12", "AppData/Local/segvol/log"),
    ],
)
def test_each_system_has_its_places(monkeypatch, platform, packages, log):
    for name in ("SEGVOL_HOME", "LOCALAPPDATA", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", platform)
    assert packages_folder((3, 12)) == Path.home() / packages
    assert log_folder() == Path.home() / log


def test_the_environment_names_others(monkeypatch):
    monkeypatch.delenv("SEGVOL_HOME")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert packages_folder((3, 12)) == Path("/data/segvol/packages/py3.12")
    assert log_folder() == Path("/state/segvol/log")


def test_one_folder_of_the_users_choice_holds_all(monkeypatch):
    monkeypatch.setenv("SEGVOL_HOME", "/big/segvol")
    assert packages_folder((3, 12)) == Path("/big/segvol/packages/py3.12")
    assert log_folder() == Path("/big/segvol/log")
