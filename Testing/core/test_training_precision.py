"""Training in float16: gradients neither vanish nor overflow, and no step is taken by a bad one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from made_cts import TINY, write_named_folder
from torch import nn
from torch.amp.grad_scaler import GradScaler
from training_runs import figures, log, stop_after

from segvol_core.checkpoint_file import read_checkpoint_file
from segvol_core.model.segvol import SegVol
from segvol_core.training.optimisers import make_optimisers
from segvol_core.training.precision import (
    Precision,
    PrecisionError,
    chosen,
    clip_and_step,
    gradient_scaler,
    products_in,
)
from segvol_core.training.run import run_training
from segvol_core.training.settings import TrainingSettings, read_settings
from segvol_core.weights import load_model, save_model

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def cts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_named_folder(tmp_path_factory.mktemp("cts"), 2)


def settings_of(folder: Path, cts: Path, **settings: Any) -> TrainingSettings:
    values = {
        "data": str(cts),
        "output": "out",
        "start": None,
        "network": TINY.to_dict(),
        "steps": 4,
        "examples": {"batches": 1, "masks": 2},
        "optimiser": {"warmup_steps": 2},
        "checkpoint_steps": 2,
        "precision": "float16",
        **settings,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "train.yaml"
    path.write_text(yaml.safe_dump(values))
    return read_settings(path)


def two_layers() -> nn.Module:
    """A matrix for Muon and a vector for AdamW."""
    torch.manual_seed(0)
    return nn.ModuleDict({"matrix": nn.Linear(4, 4, bias=False), "vector": nn.LayerNorm(4)})


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def step_by(model: nn.Module, scaler: GradScaler, optimisers: list[Any], matrix: float) -> None:
    """A step by gradients of one everywhere, but for one value of the matrix."""
    for parameter in model.parameters():
        parameter.grad = scaler.scale(torch.ones(parameter.shape))
    model["matrix"].weight.grad[0, 0] *= matrix
    clip_and_step(scaler, model, optimisers, 1.0)


# -- Which precision -----------------------------------------------------------------------------


def seconds_of_a_convolution(precision: Precision) -> float:
    torch.manual_seed(0)
    convolution, image = nn.Conv3d(16, 16, 3, padding=1), torch.rand(1, 16, 16, 32, 32)
    took = []
    for _ in range(3):
        started = time.perf_counter()
        with products_in(precision, CPU):
            convolution(image)
        took.append(time.perf_counter() - started)
    return min(took)


def test_a_training_is_not_slow_for_want_of_a_precision_that_the_processor_has() -> None:
    fixed: tuple[Precision, ...] = ("float32", "bfloat16")
    assert chosen("auto", CPU) in fixed
    assert chosen("auto", torch.device("cuda")) == "bfloat16"
    assert [chosen(each, CPU) for each in fixed] == list(fixed)
    took = {each: seconds_of_a_convolution(each) for each in fixed}
    assert took[chosen("auto", CPU)] < 4 * min(took.values())


# -- Whole trainings -----------------------------------------------------------------------------


def test_float16_learns_as_single_precision_does(cts: Path, tmp_path: Path) -> None:
    losses = []
    for precision in ("float32", "float16"):
        run_training(settings_of(tmp_path / precision, cts, precision=precision, steps=3))
        losses.append([float(line["loss"]) for line in log(tmp_path / precision / "out")])
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.03)
    assert losses[1] != losses[0]


def test_steps_that_overflow_are_left_out_and_a_resumed_training_knows_by_how_much_to_scale(
    cts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "segvol_core.training.state.gradient_scaler",
        lambda precision, device: GradScaler(device.type, init_scale=2.0**40),
    )
    whole, parts, short = (
        settings_of(tmp_path / name, cts, steps=steps)
        for name, steps in (("whole", 6), ("parts", 6), ("short", 1))
    )
    run_training(whole)
    run_training(short)
    torch.manual_seed(0)
    first = load_model(short.output / "last.safetensors").state_dict()
    assert all(tensor.isfinite().all() for tensor in first.values())

    def power_cut() -> None:
        raise RuntimeError("power cut")

    with monkeypatch.context() as patched:
        stop_after(3, patched, power_cut)
        with pytest.raises(RuntimeError, match="power cut"):
            run_training(parts)
    run_training(parts, resume=True)
    assert figures(parts.output) == figures(whole.output)
    state: Any = read_checkpoint_file(whole.output / "checkpoint.pt").contents["state"]
    assert state["scaler"]["scale"] == 2.0**34  # Six steps that overflowed.


def test_a_network_whose_values_float16_cannot_hold_is_not_trained_in_it(
    cts: Path, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model = SegVol(TINY)
    with torch.no_grad():
        model.image_encoder.norm.weight *= 1e6
    save_model(model, tmp_path / "large.safetensors")
    settings = settings_of(
        tmp_path, cts, start="large.safetensors", network=None, steps=60,
        examples={"batches": 1, "masks": 1},
    )  # fmt: skip
    with pytest.raises(PrecisionError, match="float16 cannot hold; begin it again with"):
        run_training(settings)
    assert (settings.output / "checkpoint.pt").exists()


# -- One step ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["muon", "adamw"])
def test_a_scaled_step_is_the_step_itself(name: Any) -> None:
    results = []
    for precision in ("float32", "float16"):
        model = two_layers()
        optimisers = make_optimisers(model, name, 0.1, 0.01)
        scaler = gradient_scaler(precision, CPU)
        for _ in range(3):
            step_by(model, scaler, optimisers, 2.0)
        results.append(weights(model))
    assert all(torch.equal(results[0][key], results[1][key]) for key in results[0])
    before = weights(two_layers())
    assert not any(torch.equal(results[0][key], before[key]) for key in ("matrix.weight",))


@pytest.mark.parametrize("name", ["muon", "adamw"])
@pytest.mark.parametrize("bad", [float("inf"), float("nan")])
def test_no_optimiser_takes_a_step_when_the_gradients_of_one_overflow(
    name: Any, bad: float
) -> None:
    model = two_layers()
    optimisers = make_optimisers(model, name, 0.1, 0.01)
    scaler = gradient_scaler("float16", CPU)
    step_by(model, scaler, optimisers, 1.0)
    before, scale = weights(model), scaler.get_scale()
    step_by(model, scaler, optimisers, bad)
    assert all(torch.equal(tensor, before[key]) for key, tensor in weights(model).items())
    assert scaler.get_scale() == scale / 2
    step_by(model, scaler, optimisers, 1.0)
    after = weights(model)
    assert not torch.equal(after["vector.weight"], before["vector.weight"])
    assert all(tensor.isfinite().all() for tensor in after.values())


def test_an_endless_overflow_ends_a_training() -> None:
    model = two_layers()
    optimisers = make_optimisers(model, "muon", 0.1, 0.01)
    scaler = gradient_scaler("float16", CPU)
    for _ in range(26):
        step_by(model, scaler, optimisers, float("nan"))
    with pytest.raises(PrecisionError, match="float16 cannot hold"):
        step_by(model, scaler, optimisers, float("nan"))


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_an_optimiser_without_gradients_is_left_out(precision: Any) -> None:
    model = two_layers()
    optimisers = make_optimisers(model, "muon", 0.1, 0.0)
    scaler = gradient_scaler(precision, CPU)
    clip_and_step(scaler, model, optimisers, 1.0)
    model["vector"].weight.grad = scaler.scale(torch.ones(4))
    before = weights(model)
    clip_and_step(scaler, model, optimisers, 1.0)
    assert torch.equal(before["matrix.weight"], model["matrix"].weight)
    assert not torch.equal(before["vector.weight"], model["vector"].weight)
