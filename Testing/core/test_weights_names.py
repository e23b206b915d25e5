"""Weights are found by their names: the starter, the published ones, the user's folder."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from small_config import SMALL

from segvol_core import weights_folder as weights_folder_module
from segvol_core.errors import WeightsError
from segvol_core.model.segvol import SegVol
from segvol_core.weights import (
    load_model,
    save_model,
)
from segvol_core.weights_folder import segvol_file, weights_folder, weights_path


def test_the_starter_is_found_among_the_bundled_files(
    small: SegVol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_model(small, tmp_path / "starter.safetensors")
    monkeypatch.setattr(weights_folder_module, "resource_path", lambda name: tmp_path / name)
    assert load_model().config == SMALL


def test_a_starter_that_is_not_bundled_is_said_to_be_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nothing_bundled(name: str) -> Path:
        raise FileNotFoundError(name)

    monkeypatch.setattr(weights_folder_module, "resource_path", nothing_bundled)
    with pytest.raises(WeightsError, match="starter weights are missing"):
        load_model("starter")


def test_published_weights_that_were_not_downloaded_say_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGVOL_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match="segvol download"):
        load_model("segvol")


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(WeightsError, match="named startr: give starter, segvol, or the path"):
        weights_path("startr")


@pytest.mark.parametrize(
    ("platform", "variables", "folder"),
    [
        ("linux", {"SEGVOL_HOME": "/weights"}, "/weights"),
        ("linux", {"XDG_CACHE_HOME": "/cache"}, "/cache/segvol"),
        ("linux", {}, "/home/ann/.cache/segvol"),
        ("darwin", {}, "/home/ann/Library/Caches/segvol"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/segvol"),
        ("win32", {}, "/home/ann/AppData/Local/segvol"),
    ],
)
def test_downloaded_weights_are_in_the_users_cache(
    platform: str, variables: dict[str, str], folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SEGVOL_HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/ann", **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert weights_folder() == Path(folder)
    assert segvol_file().parent == Path(folder)
