"""Putting an installation in place: wherever it is interrupted, one of the two is there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segvol_core.errors import PackagesError
from segvol_core.packages import swap
from segvol_core.packages.status import MARKER


class Interrupted(BaseException):
    """What a kill looks like from within."""


def make(folder: Path, content: str, *, complete: bool = True) -> None:
    folder.mkdir(parents=True)
    (folder / "content").write_text(content)
    if complete:
        (folder / MARKER).write_text(json.dumps({}))


def content(folder: Path) -> str | None:
    return (folder / "content").read_text() if (folder / MARKER).exists() else None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "packages" / "py[3]"  # square brackets mean something to glob


@pytest.mark.parametrize("had_old", [True, False])
@pytest.mark.parametrize("renames", range(5))
def test_a_swap_interrupted_after_any_renaming_recovers(folder, monkeypatch, had_old, renames):
    if had_old:
        make(folder, "old")
    make(swap.beside(folder, "new"), "new")
    original, left = Path.rename, [renames]

    def rename(self: Path, target: Path) -> Path:
        if left[0] == 0:
            raise Interrupted
        left[0] -= 1
        return original(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    interrupted = False
    try:
        swap.swap_in(folder)
    except Interrupted:
        interrupted = True
    monkeypatch.undo()
    assert interrupted == (renames < (3 if had_old else 1))

    swap.finish_interrupted_swap(folder)
    assert content(folder) == ("old" if had_old and renames == 0 else "new")
    swap.clear_leftovers(folder, downloads=True)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


@given(
    current=st.booleans(),
    old=st.booleans(),
    new=st.sampled_from(["absent", "partial", "complete"]),
    trash=st.booleans(),
    times=st.integers(1, 3),
)
@settings(deadline=None)
def test_recovery_never_loses_the_last_and_never_takes_half(
    tmp_path_factory, current, old, new, trash, times
):
    folder = tmp_path_factory.mktemp("swap") / "py3"
    if current:
        make(folder, "current")
    if old:
        make(swap.beside(folder, "old"), "old")
    if new != "absent":
        make(swap.beside(folder, "new"), "new", complete=new == "complete")
    if trash:
        make(swap.beside(folder, "trash-00"), "trash", complete=False)
    for _ in range(times):
        swap.finish_interrupted_swap(folder)
    expected = "current" if current else "new" if new == "complete" else "old" if old else None
    assert content(folder) == expected
    swap.clear_leftovers(folder, downloads=True)
    left = {path.name for path in folder.parent.iterdir()}
    assert left == (set() if expected is None else {"py3"})


def test_slicers_next_start_brings_back_what_a_kill_took_away(folder):
    make(swap.beside(folder, "old"), "old")
    make(swap.beside(folder, "new"), "new", complete=False)
    swap.recover(folder)
    assert content(folder) == "old"


def test_recovering_leaves_a_running_installation_alone(folder):
    make(swap.beside(folder, "old"), "old")
    with swap.only_installer(folder):
        swap.recover(folder)
        assert content(folder) is None
    swap.recover(folder)
    assert content(folder) == "old"


def test_recovering_where_nothing_was_installed_makes_nothing(folder):
    swap.recover(folder)
    assert not folder.parent.exists()


def test_what_is_in_use_stays_and_is_said(folder, monkeypatch):
    """As Windows refuses to move a folder of which a process has loaded a library."""
    make(folder, "old")
    make(swap.beside(folder, "new"), "new")

    def refuse(self: Path, target: Path) -> Path:
        raise PermissionError(13, "Access is denied")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(PackagesError, match=r"perhaps it is in use\. Stop the inference process"):
        swap.swap_in(folder)
    monkeypatch.undo()
    assert content(folder) == "old"


def test_a_refused_second_renaming_brings_the_old_back(folder, monkeypatch):
    make(folder, "old")
    make(swap.beside(folder, "new"), "new")
    original = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if self.name.endswith(".new"):
            raise PermissionError(13, "Access is denied")
        return original(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(PackagesError):
        swap.swap_in(folder)
    assert content(folder) == "old"
    assert not swap.beside(folder, "old").exists()


def test_other_installations_in_the_same_place_are_left_alone(tmp_path):
    make(tmp_path / "py3.1", "one")
    make(tmp_path / "py3.11.trash-00", "another's")
    make(tmp_path / "py3.11.new", "another's")
    swap.clear_leftovers(tmp_path / "py3.1", downloads=True)
    assert {path.name for path in tmp_path.iterdir()} >= {
        "py3.1",
        "py3.11.trash-00",
        "py3.11.new",
    }


def test_only_one_is_at_work_and_a_lock_waits_if_told(folder):
    with (
        swap.only_installer(folder),
        pytest.raises(PackagesError, match="Another installation is at work"),
        swap.only_installer(folder, wait_seconds=0.2),
    ):
        pass
    with swap.only_installer(folder):
        pass


def test_what_an_ended_installer_unpacked_is_deleted_and_what_it_fetched_is_kept(tmp_path):
    folder = tmp_path / "py3.11"
    scratch = swap.installer_scratch(folder)
    (scratch / "pip-target-x").mkdir(parents=True)
    (scratch / "pip-target-x" / "module.py").write_text("")
    fetched = swap.beside(folder, "download") / "pip" / "a.whl"
    fetched.parent.mkdir()
    fetched.write_text("")
    swap.clear_leftovers(folder, downloads=False)
    assert not scratch.exists()
    assert fetched.exists()
