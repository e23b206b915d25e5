"""`segvol pretrain`: CTs without labels in, an encoder out that a training starts from."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from command_line import assert_refused, run
from hypothesis import given, settings
from hypothesis import strategies as st
from made_cts import TINY, two_organs, write_image, write_named_folder
from made_layouts import LAYOUTS, m3d_seg
from training_runs import figures, log, stop_after

from segvol_core.checkpoint_file import read_checkpoint_file
from segvol_core.checkpoint_tensors import named_tensors
from segvol_core.errors import WeightsError
from segvol_core.model.config import SegVolConfig
from segvol_core.model.segvol import SegVol
from segvol_core.pretrained_encoder import holds_pretrained_encoder, load_pretrained_encoder
from segvol_core.training.masked_images import (
    Reconstruction,
    draw_hidden,
    masked_loss,
    patches_of,
)
from segvol_core.training.masked_windows import NumberedWindows
from segvol_core.training.preparation import prepare_training
from segvol_core.training.pretraining import images_of, prepare_pretraining, run_pretraining
from segvol_core.training.pretraining_settings import (
    PretrainingSettings,
    read_pretraining_settings,
)
from segvol_core.training.settings import read_settings
from segvol_core.training.start import first_network
from segvol_core.training.team import Member
from segvol_core.weights import load_metadata, load_model, save_model

ALONE = Member(0, 1)
ENCODER = Path("out") / "encoder.safetensors"


@pytest.fixture(scope="module")
def cts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of CTs and nothing else."""
    folder = tmp_path_factory.mktemp("cts")
    for index in range(3):
        write_image(two_organs(index)[0].astype(np.int16), folder / f"case{index}.nii.gz")
    return folder


def config(folder: Path, cts: Path, network: SegVolConfig | None = TINY, **settings: Any) -> Path:
    """A settings file for a pre-training that takes a second."""
    values = {
        "data": {"folders": str(cts)},
        "output": "out",
        "network": None if network is None else network.to_dict(),
        "steps": 4,
        "examples": {"volumes": 1},
        "optimiser": {"warmup_steps": 2},
        "checkpoint_steps": 2,
        **settings,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "pretrain.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def settings_of(folder: Path, cts: Path, **settings: Any) -> PretrainingSettings:
    return read_pretraining_settings(config(folder, cts, **settings))


def tensors(path: Path) -> dict[str, torch.Tensor]:
    return named_tensors(read_checkpoint_file(path), path)


def same(first: Path, second: Path) -> bool:
    one, other = tensors(first / ENCODER), tensors(second / ENCODER)
    return all(torch.equal(one[name], other[name]) for name in one)


# -- What is learnt ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network() -> SegVol:
    torch.manual_seed(0)
    return SegVol(TINY)


def test_hidden_voxels_are_expected_from_the_others_alone(network: SegVol) -> None:
    torch.manual_seed(0)
    head = Reconstruction(TINY)
    windows = torch.rand(2, 1, *TINY.window)
    hidden = torch.stack([draw_hidden(TINY.grid, (1, 1, 1), 0.6, rng_of(i)) for i in range(2)])
    places = voxels_of(hidden)
    other = torch.rand(windows.shape)
    with torch.no_grad():
        expected = head(network.image_encoder, windows, hidden)
        unseen = head(network.image_encoder, torch.where(places, other, windows), hidden)
        seen = head(network.image_encoder, torch.where(places, windows, other), hidden)
    assert torch.equal(expected, unseen)
    assert not torch.allclose(expected, seen)
    # The error is that of hidden voxels.
    loss = masked_loss(expected, windows, hidden, TINY.patch)
    assert loss == masked_loss(expected, torch.where(places, windows, other), hidden, TINY.patch)
    folded = folded_from(expected)
    np.testing.assert_allclose(loss, (folded - windows)[places].abs().mean(), rtol=1e-6)


def rng_of(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def voxels_of(hidden: torch.Tensor) -> torch.Tensor:
    """Patches (batch, tokens) as voxels (batch, 1, D, H, W)."""
    places = hidden.reshape(-1, 1, *TINY.grid)
    for axis, size in enumerate(TINY.patch, start=2):
        places = places.repeat_interleave(size, dim=axis)
    return places


def folded_from(patches: torch.Tensor) -> torch.Tensor:
    """Patches (batch, tokens, voxels) as windows (batch, 1, D, H, W), voxel by voxel."""
    windows = torch.empty(len(patches), 1, *TINY.window)
    for token, (d, h, w) in enumerate(np.ndindex(*TINY.grid)):
        for voxel, (z, y, x) in enumerate(np.ndindex(*TINY.patch)):
            p_d, p_h, p_w = TINY.patch
            windows[:, 0, d * p_d + z, h * p_h + y, w * p_w + x] = patches[:, token, voxel]
    return windows


def test_patches_are_those_of_the_encoder(network: SegVol) -> None:
    windows = torch.rand(2, 1, *TINY.window)
    seen: list[torch.Tensor] = []
    layer = network.image_encoder.patch_embedding.patch_embeddings[0]
    hook = layer.register_forward_hook(lambda module, given, result: seen.append(result))
    with torch.no_grad():
        network.image_encoder(windows)
    hook.remove()
    assert torch.equal(seen[0], patches_of(windows, TINY.patch))


sizes = st.tuples(*[st.integers(1, 4)] * 3)


@settings(deadline=None)
@given(units=sizes, unit=sizes, share=st.floats(0.01, 0.99), seed=st.integers(0, 99))
def test_so_many_patches_are_hidden_in_whole_units(
    units: tuple[int, int, int], unit: tuple[int, int, int], share: float, seed: int
) -> None:
    grid = tuple(n * size for n, size in zip(units, unit, strict=True))
    hidden = draw_hidden(grid, unit, share, rng_of(seed)).reshape(grid).float()
    count = int(np.prod(units))
    pooled = torch.nn.functional.avg_pool3d(hidden[None], unit)
    assert set(pooled.unique().tolist()) <= {0.0, 1.0}
    assert pooled.sum() == max(1, int(share * count))


def test_an_encoder_learns_more_than_which_grey_value_is_usual(tmp_path: Path) -> None:
    write_image(two_organs()[0].astype(np.int16), tmp_path / "cts" / "ct.nrrd")
    unchanged = {"scale": 1, "rotation": 0, "shear": 0, "elastic": 0}
    wanted = settings_of(
        tmp_path, tmp_path / "cts", steps=250, precision="float32", checkpoint_steps=1000,
        examples={"volumes": 1, "augmentation": unchanged},
        optimiser={"warmup_steps": 10, "learning_rate": 1e-2},
    )  # fmt: skip
    run_pretraining(wanted)
    losses = [float(line["loss"]) for line in log(tmp_path / "out")][200:]
    windows = NumberedWindows(
        prepare_pretraining(wanted, ALONE).images, TINY, wanted.examples, wanted.seed
    )
    guesses = []
    for number in range(200, 250):
        window = windows.draw(number)
        patches = patches_of(window.image[None, None], TINY.patch)[0]
        usual = patches[~window.hidden].median()
        guesses.append(float((patches[window.hidden] - usual).abs().mean()))
    assert np.mean(losses) < 0.8 * np.mean(guesses)


# -- A whole pre-training, and a training that starts from it ------------------------------------


def test_a_training_starts_from_the_encoder_of_a_pretraining(cts: Path, tmp_path: Path) -> None:
    result = run("pretrain", config(tmp_path, cts))
    assert result.exit_code == 0, result.output
    assert f"4 steps. The weights are in {tmp_path / ENCODER}" in result.stdout
    assert [line["step"] for line in log(tmp_path / "out")] == ["1", "2", "3", "4"]
    assert load_metadata(tmp_path / ENCODER)["steps"] == "4"
    assert not [path for path in (tmp_path / "out").iterdir() if "partial" in path.name]
    assert holds_pretrained_encoder(tmp_path / ENCODER)
    with pytest.raises(WeightsError, match="image encoder alone"):
        load_model(tmp_path / ENCODER)

    labelled = write_named_folder(tmp_path / "labelled", 2)
    values = {
        "data": str(labelled), "output": "trained", "start": str(ENCODER), "steps": 1,
        "freeze": ["image_encoder"], "examples": {"batches": 1, "masks": 2},
    }  # fmt: skip
    path = tmp_path / "train.yaml"
    path.write_text(yaml.safe_dump(values))
    model = prepare_training(read_settings(path), ALONE).model
    expected = SegVol(TINY)
    load_pretrained_encoder(expected, tmp_path / ENCODER)
    for name, tensor in expected.image_encoder.state_dict().items():
        assert torch.equal(tensor, model.image_encoder.state_dict()[name])
    result = run("train", path)
    assert result.exit_code == 0, result.output
    trained = load_model(tmp_path / "trained" / "best.safetensors")
    assert trained.config == replace(TINY, trained_names=("liver", "spleen"))
    for name, tensor in expected.image_encoder.state_dict().items():
        assert torch.equal(tensor, trained.image_encoder.state_dict()[name])


def test_a_pretraining_goes_on_from_the_encoder_of_other_weights(cts: Path, tmp_path: Path) -> None:
    torch.manual_seed(3)
    model = SegVol(TINY)
    save_model(model, tmp_path / "start.safetensors")
    whole = settings_of(tmp_path, cts, network=None, start="start.safetensors")
    prepared = prepare_pretraining(whole, ALONE)
    for name, tensor in model.image_encoder.state_dict().items():
        assert torch.equal(tensor, prepared.encoder.state_dict()[name])
    run_pretraining(whole)
    again = settings_of(tmp_path / "again", cts, network=None, start=str(tmp_path / ENCODER))
    assert run_pretraining(again).weights == tmp_path / "again" / ENCODER
    assert not same(tmp_path, tmp_path / "again")


# -- Stopped and resumed, and several processes --------------------------------------------------


def test_a_pretraining_killed_and_resumed_equals_one_in_one_go(
    cts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parts = (settings_of(tmp_path / name, cts) for name in ("whole", "parts"))
    run_pretraining(whole)

    def power_cut() -> None:
        raise RuntimeError("power cut")

    with monkeypatch.context() as patched:
        # The checkpoint is of step 2: step 3 is taken a second time.
        stop_after(3, patched, power_cut)
        with pytest.raises(RuntimeError, match="power cut"):
            run_pretraining(parts)
    torch.manual_seed(99)
    run_pretraining(parts, resume=True)
    assert figures(parts.output) == figures(whole.output)
    assert same(tmp_path / "whole", tmp_path / "parts")


def test_ctrl_c_stops_a_pretraining_between_steps(
    cts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        stop_after(1, patched, lambda: os.kill(os.getpid(), signal.SIGINT))
        result = run("pretrain", config(tmp_path, cts))
    assert result.exit_code == 130, result.output
    assert "Stopped after 2 steps; --resume goes on from here." in result.stdout
    assert_refused(run("pretrain", config(tmp_path, cts)), "has a training already")
    result = run("pretrain", config(tmp_path, cts), "--resume")
    assert result.exit_code == 0, result.output
    assert len(log(tmp_path / "out")) == 4


def test_two_processes_equal_one_with_twice_the_windows(cts: Path, tmp_path: Path) -> None:
    exact = {
        "precision": "float32", "optimiser": {"name": "adamw", "warmup_steps": 2}, "steps": 3,
    }  # fmt: skip
    one, two = tmp_path / "one", tmp_path / "two"
    run_pretraining(settings_of(one, cts, examples={"volumes": 2}, **exact))
    run_pretraining(settings_of(two, cts, processes=2, **exact))
    losses = [[float(line["loss"]) for line in log(each / "out")] for each in (one, two)]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)


# -- CTs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", LAYOUTS)
def test_cts_of_every_layout_are_learnt_from_without_labels_and_without_those_for_validation(
    write: Callable[[Path], None], tmp_path: Path
) -> None:
    folder = tmp_path / "cts"
    write(folder)
    config = replace(TINY, spacing_mm=None, hounsfield_levels=None) if write is m3d_seg else TINY
    wanted = settings_of(tmp_path, folder, network=config)
    records = images_of(wanted)
    assert len(records) == 2
    assert not any(record.structures or record.labels for record in records)
    for record in records:  # Labels that nobody can read do not matter.
        labels = folder / "labels" / f"{record.name}.nrrd"
        if labels.exists():
            labels.write_bytes(b"")
    assert len(prepare_pretraining(wanted, ALONE).images) == 2


def test_named_cases_are_kept_from_a_pretraining(cts: Path, tmp_path: Path) -> None:
    data = {"folders": [str(cts)], "validation": ["case1"]}
    found = images_of(settings_of(tmp_path, cts, data=data))
    assert [record.name for record in found] == ["case0", "case2"]


def test_prepared_cts_are_kept_for_the_next_run(cts: Path, tmp_path: Path) -> None:
    data = {"folders": [str(cts)], "cache": str(tmp_path / "kept")}
    for name in ("plain", "first", "second"):
        more = {} if name == "plain" else {"data": data}
        run_pretraining(settings_of(tmp_path / name, cts, steps=2, **more))
    assert len(list((tmp_path / "kept").rglob("*.pt"))) == 3
    assert same(tmp_path / "plain", tmp_path / "first")
    assert same(tmp_path / "plain", tmp_path / "second")


def test_the_check_looks_at_cts_and_asks_for_no_labels(cts: Path, tmp_path: Path) -> None:
    result = run("pretrain", config(tmp_path, cts), "--check")
    assert result.exit_code == 0, result.output
    assert "3 cases" in result.stdout
    assert "Errors: 0, warnings: 0." in result.stdout
    assert not (tmp_path / "out").exists()


def test_the_settings_in_the_readme_are_settings(tmp_path: Path) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    *_, block = re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL)
    (tmp_path / "pretrain.yaml").write_text(block)
    found = read_pretraining_settings(tmp_path / "pretrain.yaml")
    assert found.data.folders == (tmp_path / "my_cts",)
    assert found.output == tmp_path / "runs" / "encoder"
    first_network(found)


# -- What is wrong is said -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"validation": {}}, "“validation” is not known"),
        ({"network": None}, "“network” belongs to a training from nothing"),
        ({"network": {"width": 7}}, "“network” makes no sense: width 7"),
        ({"steps": None}, "give “steps”, “minutes” or “epochs”"),
        ({"examples": {"hidden_share": 1}}, "“examples.hidden_share” is wrong"),
        ({"examples": {"hidden_unit": [3, 1, 1]}}, "(3, 1, 1) patches do not divide the (2, 4, 4)"),
        ({"data": {"folders": "nowhere"}}, "There is no training folder"),
        ({"data": {"folders": "empty"}}, "empty holds no CTs"),
        (
            {"data": {"folders": "one", "validation": ["ct"]}},
            "All CTs are kept for validation",
        ),
    ],
)
def test_what_makes_no_sense_is_said_in_a_sentence(
    cts: Path, tmp_path: Path, change: dict[str, Any], sentence: str
) -> None:
    (tmp_path / "empty").mkdir()
    write_image(two_organs()[0].astype(np.int16), tmp_path / "one" / "ct.nrrd")
    path = config(tmp_path, cts)
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **change}))
    assert_refused(run("pretrain", path), sentence)


def test_a_checkpoint_of_a_training_is_no_start_of_a_pretraining(cts: Path, tmp_path: Path) -> None:
    labelled = write_named_folder(tmp_path / "labelled", 2)
    path = config(tmp_path, labelled)
    values = yaml.safe_load(path.read_text())
    train = {**values, "start": None, "examples": {"batches": 1, "masks": 2}, "steps": 1}
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(train))
    assert run("train", tmp_path / "train.yaml").exit_code == 0
    assert_refused(run("pretrain", path), "has a training already")
    result = run("pretrain", path, "--resume")
    assert result.exit_code == 2
    assert "cannot go on as it was: cases, examples" in result.stderr
    assert (tmp_path / "out" / "last.safetensors").exists()
