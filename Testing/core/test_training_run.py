"""`segvol train`: settings in, weights out, and nothing lost when it is stopped on the way."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from command_line import assert_refused, run
from made_cts import ORGANS, TINY, write_image, write_named_folder
from pydantic import TypeAdapter
from training_runs import figures, log, stop_after

from segvol_core.model.config import PUBLISHED
from segvol_core.model.segvol import SegVol
from segvol_core.training.cases import prepare_cases
from segvol_core.training.checkpoint import CheckpointError
from segvol_core.training.data.named_folder import FolderDescription
from segvol_core.training.data.records import TrainingDataError
from segvol_core.training.preparation import records_of
from segvol_core.training.run import run_training
from segvol_core.training.run_settings import SettingsError
from segvol_core.training.settings import TrainingSettings, parse_settings, read_settings
from segvol_core.training.start import freeze, network_to_train
from segvol_core.training.streams import NumberedExamples
from segvol_core.weights import load_metadata, load_model, save_model

NETWORK = {**TINY.to_dict(), "trained_names": None}


@pytest.fixture(scope="module")
def cts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_named_folder(tmp_path_factory.mktemp("cts"), 3)


def config(folder: Path, cts: Path, **settings: Any) -> Path:
    """A settings file for a training that takes a second."""
    values = {
        "data": {"folders": str(cts)},
        "output": "out",
        "start": None,
        "network": NETWORK,
        "steps": 4,
        "examples": {"batches": 1, "masks": 2},
        "optimiser": {"warmup_steps": 2},
        "validation": {"every_steps": 2, "cases": 1},
        "checkpoint_steps": 2,
        **settings,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "train.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def settings_of(folder: Path, cts: Path, **settings: Any) -> TrainingSettings:
    return read_settings(config(folder, cts, **settings))


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load_model(path).state_dict()


def same(first: Path, second: Path) -> bool:
    one, other = weights(first), weights(second)
    return all(torch.equal(one[name], other[name]) for name in one)


# -- A whole training ----------------------------------------------------------------------------


def test_a_training_writes_weights_that_segment_and_a_log(cts: Path, tmp_path: Path) -> None:
    result = run("train", config(tmp_path, cts))
    assert result.exit_code == 0, result.output
    out = tmp_path / "out"
    assert f"The weights are in {out / 'best.safetensors'}" in result.stdout
    lines = log(out)
    assert [line["step"] for line in lines] == ["1", "2", "3", "4"]
    assert [bool(line["dice"]) for line in lines] == [False, True] * 2
    model = load_model(out / "best.safetensors")
    assert model.config.trained_names == ("liver", "spleen")
    assert load_metadata(out / "last.safetensors")["steps"] == "4"
    assert not [path for path in out.iterdir() if "partial" in path.name]


def test_same_seed_gives_the_same_weights_and_another_seed_others(
    cts: Path, tmp_path: Path
) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run_training(settings_of(tmp_path / name, cts, seed=seed, steps=2))
    outs = [tmp_path / name / "out" for name in "abc"]
    assert figures(outs[0]) == figures(outs[1]) != figures(outs[2])
    assert same(outs[0] / "last.safetensors", outs[1] / "last.safetensors")


def test_a_finished_training_is_not_overwritten_by_accident(cts: Path, tmp_path: Path) -> None:
    path = config(tmp_path, cts, steps=1)
    assert run("train", path).exit_code == 0
    before = (tmp_path / "out" / "last.safetensors").stat().st_mtime_ns
    assert_refused(run("train", path), "go on with --resume, or begin anew with --overwrite")
    assert (tmp_path / "out" / "last.safetensors").stat().st_mtime_ns == before
    assert run("train", path, "--overwrite").exit_code == 0


# -- Stopped and resumed -------------------------------------------------------------------------


@pytest.mark.parametrize("optimiser", ["muon", "adamw"])
def test_a_training_killed_and_resumed_equals_one_in_one_go(
    cts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimiser: str
) -> None:
    more = {"optimiser": {"warmup_steps": 2, "name": optimiser}}
    whole, parts = (settings_of(tmp_path / name, cts, **more) for name in ("whole", "parts"))
    run_training(whole)

    def power_cut() -> None:
        raise RuntimeError("power cut")

    with monkeypatch.context() as patched:
        # The checkpoint is of step 2: step 3 is taken a second time.
        stop_after(3, patched, power_cut)
        with pytest.raises(RuntimeError, match="power cut"):
            run_training(parts)
    assert len(log(parts.output)) == 3
    torch.manual_seed(99)
    outcome = run_training(parts, resume=True)
    assert outcome.steps == 4
    assert figures(parts.output) == figures(whole.output)
    for name in ("best.safetensors", "last.safetensors"):
        assert same(whole.output / name, parts.output / name)


def test_ctrl_c_stops_between_steps_and_keeps_everything(
    cts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parts = (config(tmp_path / name, cts) for name in ("whole", "parts"))
    assert run("train", whole).exit_code == 0
    with monkeypatch.context() as patched:
        stop_after(1, patched, lambda: os.kill(os.getpid(), signal.SIGINT))
        result = run("train", parts)
    assert result.exit_code == 130, result.output
    assert "Stopped after 2 steps; --resume goes on from here." in result.stdout
    result = run("train", parts, "--resume")
    assert result.exit_code == 0, result.output
    assert figures(parts.parent / "out") == figures(whole.parent / "out")
    assert same(
        whole.parent / "out" / "last.safetensors", parts.parent / "out" / "last.safetensors"
    )


def test_a_checkpoint_is_not_gone_on_from_with_other_settings(cts: Path, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, cts, steps=2)
    with pytest.raises(CheckpointError, match="no checkpoint"):
        run_training(settings, resume=True)
    run_training(settings)
    with pytest.raises(CheckpointError, match="cannot go on as it was: seed, steps changed"):
        run_training(replace(settings, steps=9, seed=4), resume=True)
    checkpoint = settings.output / "checkpoint.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="cannot be resumed from"):
        run_training(settings, resume=True)


# -- Going on from weights -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(cts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights that have learnt a little."""
    settings = settings_of(tmp_path_factory.mktemp("trained"), cts)
    run_training(settings)
    return settings.output / "last.safetensors"


def test_what_a_fine_tuning_was_worth_is_seen(cts: Path, tmp_path: Path, trained: Path) -> None:
    result = run("train", config(tmp_path, cts, start=str(trained), network=None))
    assert result.exit_code == 0, result.output
    out = tmp_path / "out"
    lines = log(out)
    assert [line["step"] for line in lines] == ["0", "1", "2", "3", "4"]
    assert [bool(line["dice"]) for line in lines] == [True, False, True, False, True]
    assert [bool(line["loss"]) for line in lines] == [False, True, True, True, True]
    # Before the first step it is as good as it was left.
    assert lines[0]["dice"] == log(trained.parent)[-1]["dice"]
    before = f"{float(lines[0]['dice']):.3f}"
    assert f"  0 % | step 0 | validation Dice {before}\n" in result.stdout
    assert f" ({before} before the first step). The weights are in" in result.stdout
    saved = load_metadata(out / "last.safetensors")
    assert saved["validation_dice_at_start"] == f"{float(lines[0]['dice']):.4f}"


def test_what_it_was_worth_before_is_measured_once_and_no_look_of_the_training(
    cts: Path, tmp_path: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = {
        "start": str(trained),
        "network": None,
        # Nothing gets better: the weights that are kept are those of the first look all the same.
        "optimiser": {"learning_rate": 1e-9},
        "validation": {"every_steps": 1, "cases": 1, "patience": 3},
    }
    whole, parts = (settings_of(tmp_path / name, cts, **more) for name in ("whole", "parts"))
    outcome = run_training(whole)
    assert (outcome.steps, outcome.early) == (4, False)
    assert load_metadata(whole.output / "best.safetensors")["steps"] == "1"
    with monkeypatch.context() as patched:
        stop_after(2, patched, lambda: os.kill(os.getpid(), signal.SIGINT))
        assert run_training(parts).stopped
    resumed = run_training(parts, resume=True)
    assert figures(parts.output) == figures(whole.output)
    assert resumed.dice_at_start == outcome.dice_at_start == float(log(whole.output)[0]["dice"])
    assert same(whole.output / "last.safetensors", parts.output / "last.safetensors")


def test_looking_before_the_first_step_changes_nothing_of_the_training(
    cts: Path, tmp_path: Path, trained: Path
) -> None:
    outs = []
    for name, share in (("looked", 0.2), ("not looked", 0.0)):
        # The same cases to train on, by name.
        kept = [r.name for r in records_of(settings_of(tmp_path, cts).data) if r.split == "train"]
        data = {"folders": str(cts), "cases": kept, "validation": share}
        settings = settings_of(tmp_path / name, cts, start=str(trained), network=None, data=data)
        outs.append(settings.output)
        outcome = run_training(settings)
        assert (outcome.dice_at_start is None) == (share == 0.0)
    losses = [[line["loss"] for line in log(out) if line["step"] != "0"] for out in outs]
    assert losses[0] == losses[1]
    assert same(outs[0] / "last.safetensors", outs[1] / "last.safetensors")


# -- Several processes ---------------------------------------------------------------------------


def exact(volumes: int, **more: Any) -> dict[str, Any]:
    """A training whose steps differ by no more than the order of sums."""
    return {
        "precision": "float32",
        "optimiser": {"name": "adamw", "warmup_steps": 2},
        "examples": {"batches": 2, "masks": 2, "volumes": volumes},
        **more,
    }


def test_two_processes_equal_one_with_twice_the_batch(cts: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    run_training(settings_of(one, cts, **exact(2)))
    torchrun = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        "-m", "segvol_core.cli", "train", str(config(two, cts, **exact(1))),
    ]  # fmt: skip
    done = subprocess.run(  # noqa: S603  # Our own program.
        torchrun, capture_output=True, encoding="utf-8", check=False, timeout=200
    )
    assert done.returncode == 0, done.stderr
    losses = [[float(line["loss"]) for line in log(each / "out")] for each in (one, two)]
    assert len(losses[1]) == 4
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)
    # Parameters whose gradients are all rounding move by their sign, however small.
    first, second = (weights(each / "out" / "last.safetensors") for each in (one, two))
    apart = torch.cat([(first[name] - second[name]).abs().flatten() for name in first])
    assert float((apart > 1e-5).float().mean()) < 0.01


def test_processes_of_one_computer_equal_one_with_twice_the_batch(
    cts: Path, tmp_path: Path
) -> None:
    one, two = (tmp_path / name for name in ("one", "two"))
    run_training(settings_of(one, cts, **exact(2, steps=3)))
    run_training(settings_of(two, cts, **exact(1, steps=3, processes=2)))
    losses = [[float(line["loss"]) for line in log(each / "out")] for each in (one, two)]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)


# -- What is trained -----------------------------------------------------------------------------


def test_frozen_parts_stay_as_they_are(cts: Path, tmp_path: Path) -> None:
    start = tmp_path / "start.safetensors"
    torch.manual_seed(0)
    save_model(SegVol(replace(TINY, trained_names=("heart",))), start)
    settings = settings_of(
        tmp_path, cts, start="start.safetensors", network=None, steps=3,
        freeze=["image_encoder", "text_encoder.clip_text_model"],
        # Nothing is flipped, so that names are asked for.
        examples={"batches": 1, "masks": 2, "augmentation": {"flips": [0, 0, 0]}},
    )  # fmt: skip
    run_training(settings)
    before, after = weights(start), weights(settings.output / "last.safetensors")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert not any(name.startswith("image_encoder") for name in changed)
    assert {name for name in changed if name.startswith("text_encoder")} == {
        "text_encoder.dim_align.weight",
        "text_encoder.dim_align.bias",
    }
    trained = load_model(settings.output / "last.safetensors").config.trained_names
    assert trained == ("heart", "liver", "spleen")


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        (["encoder"], "no part encoder. Its parts are image_encoder"),
        (
            ["image_encoder", "mask_decoder", "prompt_encoder", "text_encoder", "prompt_priors"],
            "nothing of the network would be left",
        ),
    ],
)
def test_what_cannot_be_frozen_is_said(parts: list[str], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        freeze(SegVol(TINY), parts)


def test_a_training_starts_from_a_pretrained_encoder(
    cts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The published network is too large for a test: a small one takes its place.
    monkeypatch.setattr("segvol_core.checkpoint_tensors.PUBLISHED", TINY)
    torch.manual_seed(5)
    encoder = SegVol(TINY).image_encoder.state_dict()
    file = tmp_path / "vit_pretrain.ckpt"
    torch.save({"state_dict": {f"model.encoder.{name}": v for name, v in encoder.items()}}, file)
    settings = settings_of(tmp_path, cts, start="vit_pretrain.ckpt", network=None)
    model = network_to_train(settings, records_of(settings.data))
    assert all(
        torch.equal(v, encoder[name]) for name, v in model.image_encoder.state_dict().items()
    )
    assert model.config.trained_names == ("liver", "spleen")
    assert PUBLISHED.trained_names is None


def test_the_bundled_starter_can_be_trained_on(cts: Path, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, cts, start="starter", network=None)
    model = network_to_train(settings, records_of(settings.data))
    known = load_model("starter").config.trained_names
    assert known is not None
    assert set(model.config.trained_names or ()) == {*known, "liver", "spleen"}


def test_a_training_may_be_on_some_of_the_cases(cts: Path, tmp_path: Path) -> None:
    everything = records_of(settings_of(tmp_path, cts).data)
    wanted = next(record.name for record in everything if record.split == "train")
    kept = {record.name for record in everything if record.split == "validation"}
    some = settings_of(tmp_path, cts, data={"folders": str(cts), "cases": [f"{wanted[:-1]}?"]})
    assert {record.name for record in records_of(some.data)} >= {wanted, *kept}
    one = settings_of(tmp_path, cts, data={"folders": str(cts), "cases": [wanted]})
    assert {record.name for record in records_of(one.data)} == {wanted, *kept}
    none = settings_of(tmp_path, cts, data={"folders": str(cts), "cases": [wanted, "brain*"]})
    with pytest.raises(SettingsError, match=r"asks for brain\*, and no case to train on fits"):
        records_of(none.data)


def test_training_ends_early_when_validation_gets_no_better(cts: Path, tmp_path: Path) -> None:
    settings = settings_of(
        tmp_path, cts, steps=50, validation={"every_steps": 1, "patience": 2},
        optimiser={"learning_rate": 1e-9},
    )  # fmt: skip
    outcome = run_training(settings)
    assert outcome.steps < 10
    assert not outcome.stopped
    dice = [float(line["dice"]) for line in log(settings.output)]
    assert max(dice[-2:]) <= max(dice[:-2]) == outcome.dice
    # It is at its end, resumed or not.
    assert run_training(settings, resume=True).steps == outcome.steps


def test_an_epoch_is_as_many_windows_as_there_are_cases(cts: Path, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, cts, steps=None, epochs=2, validation={"every_steps": 50})
    assert run_training(settings).steps == 4


def test_cases_kept_on_disk_train_as_those_in_memory(cts: Path, tmp_path: Path) -> None:
    plain = settings_of(tmp_path / "plain", cts, steps=2)
    data = {"folders": str(cts), "cache": "cache"}
    kept = settings_of(tmp_path / "kept", cts, steps=2, data=data)
    run_training(plain)
    for overwrite in (False, True):
        run_training(kept, overwrite=overwrite)
        assert same(plain.output / "last.safetensors", kept.output / "last.safetensors")
    assert len(list((tmp_path / "kept" / "cache").glob("*/*.pt"))) == 3


def test_an_example_is_the_same_in_whichever_process_it_is_drawn(cts: Path, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, cts)
    model = network_to_train(settings, records_of(settings.data))
    cases = list(prepare_cases(records_of(settings.data), model.config))
    examples = NumberedExamples(cases, TINY, settings.examples, 0)
    twice = replace(settings.examples, volumes=2)
    together = next(NumberedExamples(cases, TINY, twice, 0).steps(3))
    apart = [next(examples.steps(3, rank, 2)) for rank in (0, 1)]
    for one, (other,) in zip(together, apart, strict=True):
        assert torch.equal(one.window, other.window)
        assert [p.kind for p in one.prompts] == [p.kind for p in other.prompts]
    assert not torch.equal(together[0].window, together[1].window)


# -- Settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"step": 3}, "“step” is not known"),
        ({"steps": 0}, "“steps” is wrong: input should be greater than or equal to 1"),
        ({"steps": None}, "give “steps”, “minutes” or “epochs”"),
        ({"output": None}, "“output” is wrong"),
        ({"data": {"folder": "x"}}, "“data.folders” is missing; “data.folder” is not known"),
        ({"examples": {"augmentation": {"zoom": 2}}}, "“examples.augmentation.zoom” is not known"),
        ({"precision": "float8"}, "“precision” is wrong"),
        ({"start": "starter"}, "“network” belongs to a training from nothing"),
        ({"network": None}, "“network” belongs to a training from nothing"),
        ({"network": {"width": 7}}, "“network” makes no sense: width 7"),
        ({"start": "nowhere.pth", "network": None}, "nowhere.pth"),
        ({"device": "tpu"}, "no device “tpu”"),
        ({"data": {"folders": "nowhere"}}, "There is no training folder"),
    ],
)
def test_settings_that_make_no_sense_are_said_in_a_sentence(
    cts: Path, tmp_path: Path, change: dict[str, Any], sentence: str
) -> None:
    assert_refused(run("train", config(tmp_path, cts, **change)), sentence)


def test_a_settings_file_that_is_none_is_said_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "train.yaml"
    assert_refused(run("train", path), "cannot be read")
    path.write_text("data: [")
    assert_refused(run("train", path), "is no YAML")
    path.write_text("- data")
    assert_refused(run("train", path), "holds no settings")


def test_the_settings_in_the_readme_are_settings(tmp_path: Path) -> None:
    readme = Path(__file__).parents[2] / "README.md"
    blocks = re.findall(r"```yaml\n(.*?)```", readme.read_text(encoding="utf-8"), re.DOTALL)
    training, folder, twenty, _ = (yaml.safe_load(block) for block in blocks)
    settings = parse_settings(training, tmp_path / "train.yaml")
    assert settings.data.folders == (tmp_path / "my_cts",)
    assert settings.output == tmp_path / "runs" / "first"
    assert parse_settings(twenty, tmp_path / "twenty.yaml").start is None
    assert TypeAdapter(FolderDescription).validate_python(folder).structures == ("liver", "spleen")


def test_packages_that_training_needs_are_named_when_they_are_missing(
    cts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segvol_core.cli.training_options.find_spec", lambda name: None)
    result = run("train", config(tmp_path, cts))
    assert_refused(result, "not installed (monai, pydantic, yaml): pip install 'segvol[train]'")


# -- The check -----------------------------------------------------------------------------------


def test_the_check_prints_cases_and_structures_and_trains_nothing(
    cts: Path, tmp_path: Path
) -> None:
    result = run("train", config(tmp_path, cts), "--check")
    assert result.exit_code == 0, result.output
    assert "Errors: 0, warnings: 0." in result.stdout
    for text in ("3 cases", "14 x 24 x 24", "5.00 x 5.00 x 5.00", "RAS", *ORGANS):
        assert text in result.stdout
    assert not (tmp_path / "out").exists()


def test_errors_of_the_check_stop_a_training_and_warnings_do_not(tmp_path: Path) -> None:
    cts = write_named_folder(tmp_path / "cts", 3)
    path = config(tmp_path, cts, steps=1)
    write_image(np.zeros((14, 24, 24), dtype=np.uint8), cts / "labels" / "case1.nrrd")
    result = run("train", path)
    assert result.exit_code == 0, result.output
    assert "Warning: case1: its labels are empty" in result.stderr
    write_image(np.zeros((14, 24, 23), dtype=np.uint8), cts / "labels" / "case2.nrrd")
    result = run("train", path, "--overwrite")
    assert result.exit_code == 2
    assert "case2.nrrd does not lie on the voxels" in result.stderr
    result = run("train", path, "--check")
    assert result.exit_code == 2
    assert "Error, case2: case2.nrrd does not lie" in result.stdout
    assert "Errors: 1, warnings: " in result.stdout


def test_cases_without_labels_train_by_their_regions_or_say_that_they_cannot(
    cts: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "cts"
    write_named_folder(folder, 2)
    for file in (folder / "labels").iterdir():
        file.unlink()
    assert run_training(settings_of(tmp_path, folder, steps=1)).steps == 1
    flat = np.random.default_rng(0).normal(40, 2, (14, 24, 24)).astype(np.int16)
    for file in (folder / "images").iterdir():
        write_image(flat, file)
    with pytest.raises(TrainingDataError, match="No case has labels, or regions"):
        run_training(settings_of(tmp_path / "flat", folder, steps=1))
