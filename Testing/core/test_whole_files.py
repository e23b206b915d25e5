"""Files that are there whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from segvol_core.errors import SegVolError
from segvol_core.whole_files import write_whole, written_whole


def test_a_file_is_there_when_all_of_it_is(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    with written_whole(path) as unfinished:
        unfinished.write_text("half")
        assert not path.exists()
    assert path.read_text() == "half"
    assert list(tmp_path.iterdir()) == [path]


def test_what_fails_half_way_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("before")

    def write() -> None:
        with written_whole(path) as unfinished:
            unfinished.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SegVolError, match=r"table\.csv cannot be written: Not a directory"):
        write_whole(tmp_path / "file" / "table.csv", "text")
    with pytest.raises(SegVolError, match=r"table\.csv cannot be written: No such file"):
        write_whole(tmp_path / "folder" / "table.csv", "text")
