"""What `segvol train` refuses before it reads a single case, and that it says why it ended."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from command_line import assert_refused, run
from made_cts import TINY, write_named_folder

from segvol_core.training import preparation, results
from segvol_core.training.cases import prepare_cases
from segvol_core.training.data import check, reading
from segvol_core.training.data.layouts import read_records
from segvol_core.training.run_settings import SettingsError
from segvol_core.training.settings import parse_settings, read_settings


def write_config(folder: Path, cts: Path, **settings: Any) -> Path:
    values = {
        "data": str(cts),
        "output": "out",
        "start": None,
        "network": {**TINY.to_dict(), "trained_names": None},
        "steps": 1,
        "examples": {"batches": 1, "masks": 1},
        "validation": {"every_steps": 1, "cases": 1},
        **settings,
    }
    path = folder / "train.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if a case is read: there may be hours of them."""

    def read(record: object) -> None:
        pytest.fail(f"read {record}")

    for module in (check, reading):
        monkeypatch.setattr(module, "read_case_volume", read)


@pytest.mark.usefixtures("unread")
def test_what_stops_a_training_anyway_is_said_before_cases_are_read(tmp_path: Path) -> None:
    cts = write_named_folder(tmp_path / "cts")
    assert_refused(run("train", write_config(tmp_path, cts), "--resume"), "There is no checkpoint")
    assert_refused(
        run("train", write_config(tmp_path, cts, device="cuda:97")), "There is no CUDA device 97"
    )
    both = run("train", write_config(tmp_path, cts), "--resume", "--overwrite")
    assert_refused(both, "give one of the two")
    (tmp_path / "file").write_text("a file")
    assert_refused(
        run("train", write_config(tmp_path, cts, output="file/runs")), "file is no folder"
    )
    assert (tmp_path / "file").read_text() == "a file"
    pretrain = {"start": None, "network": "starter", "steps": 1, "data": str(cts)}
    (tmp_path / "pretrain.yaml").write_text(yaml.safe_dump({**pretrain, "output": "file"}))
    assert_refused(run("pretrain", tmp_path / "pretrain.yaml"), "file is no folder")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "best.safetensors").write_text("of another training")
    assert_refused(run("train", write_config(tmp_path, cts)), "has a training already")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["best.safetensors"]


@pytest.mark.usefixtures("unread")
def test_a_folder_of_somebody_else_is_refused_before_cases_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cts = write_named_folder(tmp_path / "cts")
    (tmp_path / "locked").mkdir()
    path = write_config(tmp_path, cts, output="locked/runs/out")
    # Tests may run as an administrator, who may write anywhere.
    monkeypatch.setattr(os, "access", lambda place, _: Path(place) != tmp_path / "locked")
    assert_refused(run("train", path), "you may not write into")


def test_prepared_cases_that_were_damaged_are_prepared_again(tmp_path: Path) -> None:
    records = read_records(write_named_folder(tmp_path / "cts"))
    cache = tmp_path / "cache"
    first = list(prepare_cases(records, TINY, cache))
    for number, file in enumerate(sorted(cache.iterdir())):
        damaged = (b"", file.read_bytes()[:500], b"no tensors")[number]
        file.unlink()  # The first cases are read from it.
        file.write_bytes(damaged)
    for one, other in zip(first, prepare_cases(records, TINY, cache), strict=True):
        assert torch.equal(one.image, other.image)
    assert sorted(file.name for file in cache.iterdir()) == ["case0.pt", "case1.pt", "case2.pt"]


def test_prepared_cases_that_cannot_be_kept_are_said_in_a_sentence(tmp_path: Path) -> None:
    cts = write_named_folder(tmp_path / "cts")
    (tmp_path / "file").write_text("a file")
    path = write_config(tmp_path, cts, data={"folders": str(cts), "cache": "file"})
    result = run("train", path)
    assert result.exit_code == 2
    assert "Error: Prepared cases cannot be kept in" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_training_of_long_steps_says_now_and_then_that_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cts = write_named_folder(tmp_path / "cts")
    path = write_config(tmp_path, cts, steps=4, validation={"every_steps": 50})
    said = run("train", path).stdout
    assert "| step 1 |" in said
    assert "| step 2 |" not in said
    monkeypatch.setattr(results, "_LONGEST_SILENCE", 0.0)
    said = run("train", path, "--overwrite").stdout
    assert all(f"| step {step} |" in said for step in (1, 2, 3, 4))


def test_a_training_says_that_it_ended_early(tmp_path: Path) -> None:
    cts = write_named_folder(tmp_path / "cts")
    patient = {"every_steps": 1, "patience": 1}
    path = write_config(
        tmp_path, cts, steps=50, optimiser={"learning_rate": 1e-9}, validation=patient
    )
    result = run("train", path)
    assert result.exit_code == 0, result.output
    assert "2 steps (ended early, since validation found nothing better)" in result.stdout
    result = run("train", write_config(tmp_path, cts, steps=2), "--overwrite")
    assert "2 steps, validation Dice" in result.stdout


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"freeze": "image_encoder"}, "“freeze” should be a list, such as"),
        (
            {"data": {"folders": "x", "validation": 2}},
            "“data.validation” is wrong: input should be less than or equal to 1, or should be a",
        ),
        ({"validation": 3}, "“validation” should have fields, such as"),
        ({"data": {"folders": []}}, "“data.folders” is empty"),
        ({"output": 3}, "“output” is wrong: it should be a path."),
        ({"examples": {"augmentation": "strong"}}, "is wrong: give “published”, or fields such"),
    ],
)
def test_settings_of_a_wrong_kind_are_said_without_words_of_python(
    change: dict[str, Any], sentence: str
) -> None:
    values = {"data": "cts", "output": "out", "steps": 1, **change}
    with pytest.raises(SettingsError) as caught:
        parse_settings(values, Path("train.yaml"))
    assert sentence in str(caught.value)
    assert not any(word in str(caught.value) for word in ("tuple", "dict", "instance", "class"))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("data: {folders: [a\noutput: x\n", r"is no YAML: expected .* in line 2\.$"),
        (
            "data: {folders: a, validation: yes}\noutput: x\nsteps: 1\n",
            "“data.validation” is wrong",
        ),
        (b"data: \xff\n", r"is no text in UTF-8\.$"),
        (None, r"cannot be read: No such file or directory\.$"),
    ],
)
def test_a_settings_file_that_cannot_be_read_is_answered_by_a_sentence(
    tmp_path: Path, text: str | bytes | None, sentence: str
) -> None:
    path = tmp_path / "train.yaml"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(SettingsError, match=sentence):
        read_settings(path)


def test_sizes_of_a_window_are_three(tmp_path: Path) -> None:
    cts = write_named_folder(tmp_path / "cts")
    flat = {**TINY.to_dict(), "trained_names": None, "window": [32, 64]}
    answer = run("train", write_config(tmp_path, cts, network=flat))
    assert_refused(answer, "window and patch have three sizes each")


def test_long_preparations_say_how_far_they_are(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(preparation, "_SECONDS_BETWEEN_LINES", 0.0)
    with caplog.at_level("INFO", "segvol.training"):
        assert list(preparation.saying_how_far(iter("abc"), 3)) == ["a", "b", "c"]
    assert caplog.messages[-1] == "prepared 3 of 3 cases"
    assert len(caplog.messages) == 3
