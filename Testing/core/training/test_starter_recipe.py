"""The one command that makes the starter."""

import json
from pathlib import Path

import pytest
import torch
from index_folder import TINY, two_organs, write

from segvol_core.training import starter
from segvol_core.training.loop import LoopSettings
from segvol_core.weights import load_model


def test_same_seed_and_steps_give_the_same_weights(folder: Path, tmp_path: Path) -> None:
    states = []
    for index, seed in enumerate((3, 3, 4)):
        output = tmp_path / f"{index}.safetensors"
        starter.train_starter(folder, output, LoopSettings(steps=3), seed=seed, config=TINY)
        states.append(load_model(output).state_dict())
    assert all(
        torch.equal(a, b) for a, b in zip(states[0].values(), states[1].values(), strict=True)
    )
    assert not all(
        torch.equal(a, b) for a, b in zip(states[0].values(), states[2].values(), strict=True)
    )


def test_two_workers_train_one_network(folder: Path, tmp_path: Path) -> None:
    outputs = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for output in outputs:
        starter.train_starter(folder, output, LoopSettings(steps=3), seed=1, config=TINY, workers=2)
    first, second = (load_model(output).state_dict() for output in outputs)
    assert all(torch.equal(a, b) for a, b in zip(first.values(), second.values(), strict=True))


def test_training_can_go_on_from_weights(folder: Path, tmp_path: Path) -> None:
    output, more = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    starter.train_starter(folder, output, LoopSettings(steps=2), config=TINY)
    starter.train_starter(folder, more, LoopSettings(steps=1), config=TINY, start=output)
    before, after = load_model(output).state_dict(), load_model(more).state_dict()
    changes = [
        float((a - b).abs().max()) for a, b in zip(before.values(), after.values(), strict=True)
    ]
    assert 0 < max(changes) < 0.05


def test_frozen_parts_stay_as_they_are(folder: Path, tmp_path: Path) -> None:
    output, more = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    starter.train_starter(folder, output, LoopSettings(steps=1), config=TINY)
    starter.train_starter(
        folder, more, LoopSettings(steps=2), config=TINY, start=output, frozen=["image_encoder"]
    )
    before, after = load_model(output).state_dict(), load_model(more).state_dict()
    changed = {key.split(".")[0] for key in before if not torch.equal(before[key], after[key])}
    assert "mask_decoder" in changed
    assert "image_encoder" not in changed


def test_labels_drawn_for_a_ct_of_the_folder_are_learnt_too(folder: Path, tmp_path: Path) -> None:
    drawn = tmp_path / "drawn"
    drawn.mkdir()
    _, labels = two_organs()
    write(labels, drawn / "second.nii.gz", upside_down=False)
    record = {
        "case": "second drawn", "split": "train", "dataset": "made, drawn labels",
        "image": "second_ct.nii.gz", "labels": "second.nii.gz", "label_map": {"heart": 1},
    }  # fmt: skip
    (drawn / "index.json").write_text(json.dumps([record]))
    output = tmp_path / "a.safetensors"
    starter.train_starter(folder, output, LoopSettings(steps=1), drawn_labels=drawn, config=TINY)
    assert load_model(output).config.trained_names == ("heart", "liver", "spleen")


def test_the_command_says_what_is_missing(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    status = starter.main([str(tmp_path / "nowhere"), "--steps", "1"])
    assert status == 1
    assert "There is no training folder" in caplog.text
    with pytest.raises(SystemExit):
        starter.main([str(tmp_path)])
    assert "--minutes or --steps" in capsys.readouterr().err


def test_a_training_without_a_bound_is_refused() -> None:
    with pytest.raises(ValueError, match="bound"):
        LoopSettings()
