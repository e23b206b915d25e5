"""A file that is not the checkpoint it should be is refused with a sentence that says why."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest
import torch
from checkpoint_files import (
    FIRST_BIAS,
    LAYOUTS,
    State,
    save_hub_checkpoint,
)
from small_config import SMALL

from segvol_core.errors import WeightsError
from segvol_core.weights import (
    check_weights,
    load_model,
    load_state_dict,
)


def test_missing_unknown_and_misshapen_tensors_are_named(state: State, tmp_path: Path) -> None:
    wrong = dict(state)
    del wrong["prompt_encoder.no_mask_embed.weight"]
    wrong["head.weight"] = torch.zeros(2)
    wrong[FIRST_BIAS] = torch.zeros(47)
    path = tmp_path / "wrong.bin"
    save_hub_checkpoint(wrong, path)
    with pytest.raises(WeightsError) as caught:
        load_model(path, config=SMALL)
    assert str(caught.value) == (
        f"{path} is not a checkpoint of this network. Tensors 1 missing: "
        "prompt_encoder.no_mask_embed.weight; 1 unknown: head.weight; "
        f"1 of another shape: {FIRST_BIAS} (47,) instead of (48,)."
    )


def test_of_many_wrong_tensors_a_handful_is_named(state: State, tmp_path: Path) -> None:
    torch.save({f"layer{n}.weight": torch.zeros(1) for n in range(1000)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="1000 unknown: layer0") as caught:
        check_weights(tmp_path / "other.pth", SMALL)
    assert len(str(caught.value)) < 1000 + len(str(tmp_path))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(value: float, state: State, tmp_path: Path) -> None:
    bad = {**state, FIRST_BIAS: torch.full((48,), value)}
    save_hub_checkpoint(bad, tmp_path / "bad.bin")
    with pytest.raises(WeightsError, match=f"not finite: {FIRST_BIAS}"):
        load_state_dict(tmp_path / "bad.bin")


def test_what_is_not_a_plain_tensor_is_named(state: State, tmp_path: Path) -> None:
    path = tmp_path / "odd.pth"
    torch.save({**state, FIRST_BIAS: torch.zeros(48, dtype=torch.int64)}, path)
    with pytest.raises(WeightsError, match=f"no plain numbers: {FIRST_BIAS}"):
        load_state_dict(path)
    torch.save({**state, FIRST_BIAS: torch.zeros(48).to_sparse()}, path)
    with pytest.raises(WeightsError, match=f"no plain numbers: {FIRST_BIAS}"):
        load_state_dict(path)
    torch.save({"model": {**state, "note": "hello"}}, path)
    with pytest.raises(WeightsError, match="something else than tensors: note"):
        load_state_dict(path)
    torch.save({"model": {}, "epoch": 3}, path)
    with pytest.raises(WeightsError, match="holds no tensors"):
        load_state_dict(path)
    torch.save(torch.zeros(3), path)
    with pytest.raises(WeightsError, match="no tensors with names"):
        load_state_dict(path)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kept", [0.0001, 0.01, 0.5, 0.999])
def test_a_truncated_file_is_recognised(
    layout: str, kept: float, state: State, tmp_path: Path
) -> None:
    path = tmp_path / layout
    LAYOUTS[layout](state, path)
    os.truncate(path, int(kept * path.stat().st_size))
    with pytest.raises(WeightsError, match="cut short"):
        load_model(path, config=SMALL)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"\n <!DOCTYPE html>\n<html><head><title>Sign in</title>", "web page"),
        (b"\xef\xbb\xbf<HTML lang='en'>", "web page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 724\n", "git-lfs"),
        (b'{"error": "Invalid username or password."}', "neither a PyTorch"),
        (b"\x1f\x8b\x08\x00gzip", "neither a PyTorch"),
        (bytes(4096), "neither a PyTorch"),
        (b"\xff" * 8 + b"{" + bytes(99), "cut short or damaged"),
        (b"\x80\x02garbage", "cut short, damaged|cut short or damaged"),
    ],
)
@pytest.mark.parametrize("name", ["SegVol_v1.pth", "model.safetensors"])
def test_what_is_not_a_checkpoint_is_said_to_be_what_it_is(
    content: bytes, says: str, name: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=says):
        load_state_dict(tmp_path / name)


def test_an_archive_without_tensors_is_no_checkpoint(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "thesis.docx", "w") as archive:
        archive.writestr("document.xml", "<x/>")
    with pytest.raises(WeightsError, match="zip archive, but not a PyTorch checkpoint"):
        load_state_dict(tmp_path / "thesis.docx")


def test_a_folder_and_an_absent_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is a folder"):
        load_state_dict(tmp_path)
    with pytest.raises(WeightsError, match="There is no file"):
        load_state_dict(tmp_path / "absent.pth")
