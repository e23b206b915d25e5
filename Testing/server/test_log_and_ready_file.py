"""What the server leaves for whoever started it: a log that stays small, and one JSON file."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from segvol_core import __version__
from segvol_core.errors import SegVolError
from segvol_core.server.logs import start_log
from segvol_core.server.ready_file import reported_start


@pytest.fixture
def loggers() -> Iterator[logging.Logger]:
    ours = [logging.getLogger(name) for name in ("segvol_core", "uvicorn")]
    before = [(each.handlers, each.level, each.propagate) for each in ours]
    yield ours[0]
    for each, (handlers, level, propagate) in zip(ours, before, strict=True):
        for handler in each.handlers:
            handler.close()
        each.handlers, each.propagate = handlers, propagate
        each.setLevel(level)


def test_the_log_does_not_grow_for_ever(tmp_path: Path, loggers: logging.Logger) -> None:
    path = tmp_path / "logs" / "server.log"
    start_log(path)
    for number in range(60_000):
        loggers.info("line %d %s", number, "x" * 60)
    files = sorted(file.name for file in path.parent.iterdir())
    assert files == ["server.log", "server.log.1", "server.log.2", "server.log.3"]
    assert sum(file.stat().st_size for file in path.parent.iterdir()) <= 4 * 1024**2
    assert "line 59999" in path.read_text()


def test_a_log_that_cannot_be_written_is_a_sentence(
    tmp_path: Path, loggers: logging.Logger
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SegVolError, match="cannot be written"):
        start_log(tmp_path / "file" / "server.log")


def test_without_a_file_the_log_goes_to_stderr(
    loggers: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    start_log(None)
    loggers.info("said")
    assert "said" in capsys.readouterr().err


def test_a_start_that_works_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "ready.json"
    with reported_start(path) as tell:
        assert not path.exists()
        tell("http://127.0.0.1:1")
    written = json.loads(path.read_text())
    assert written == {"url": "http://127.0.0.1:1", "pid": os.getpid(), "version": __version__}
    assert [file.name for file in tmp_path.iterdir()] == ["ready.json"]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (SegVolError("The GPU is missing."), "The GPU is missing."),
        (ImportError("No module named 'fastapi'"), "packages of the server are missing or damaged"),
        (KeyboardInterrupt(), "cancelled"),
        (RuntimeError("odd"), "A fault of the program (RuntimeError: odd)."),
    ],
)
def test_a_start_that_fails_is_reported_in_a_sentence(
    tmp_path: Path, error: BaseException, sentence: str
) -> None:
    path = tmp_path / "ready.json"
    with pytest.raises(type(error)), reported_start(path):
        raise error
    assert sentence in json.loads(path.read_text())["error"]


def test_what_happens_after_the_start_is_not_reported_as_its_failure(tmp_path: Path) -> None:
    path = tmp_path / "ready.json"
    with pytest.raises(RuntimeError):
        fail_after_the_start(path)
    assert "url" in json.loads(path.read_text())


def fail_after_the_start(path: Path) -> None:
    with reported_start(path) as tell:
        tell("http://127.0.0.1:1")
        raise RuntimeError


def test_a_ready_file_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    with (
        pytest.raises(SegVolError, match="cannot be written"),
        reported_start(tmp_path / "none" / "ready.json") as tell,
    ):
        tell("http://127.0.0.1:1")
