"""The training loop: examples in, weights out, bounded by steps or by time."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

from segvol_core.model.segvol import SegVol
from segvol_core.training.example_losses import example_loss
from segvol_core.training.examples import Example
from segvol_core.training.losses import ExampleLoss
from segvol_core.training.optimisers import OptimiserName
from segvol_core.training.precision import Precision, clip_and_step, products_in
from segvol_core.training.recognition import Recognition
from segvol_core.training.state import TrainingState
from segvol_core.training.workers import average_over_workers

ExampleT = TypeVar("ExampleT")
ModelT = TypeVar("ModelT", bound=nn.Module)


@dataclass(frozen=True)
class LoopSettings:
    """How long and how fast to learn.

    Attributes
    ----------
    steps, minutes
        Bounds; the first that is reached ends the training. The learning rate follows whichever
        is nearer its end, so a run by ``steps`` is repeatable bit by bit on the same machine.
    learning_rate
        Peak, after ``warmup_steps``; a cosine leads to zero at the end.
    average_decay
        Of the exponential moving average of the weights, which is what training yields.
    precision
        Of matrix products: bfloat16 takes a third of the time on CPUs that have it, which ``auto``
        looks at. With float16, which older GPUs have, the loss is scaled so that no gradient is too
        small for it.
    optimiser
        See :func:`~segvol_core.training.optimisers.make_optimisers`.
    """

    steps: int | None = None
    minutes: float | None = None
    learning_rate: float = 7e-4
    weight_decay: float = 0.05
    warmup_steps: int = 80
    largest_gradient: float = 1.0
    average_decay: float = 0.998
    precision: Precision = "auto"
    optimiser: OptimiserName = "muon"

    def __post_init__(self) -> None:
        if self.steps is None and self.minutes is None:
            raise ValueError("training needs a bound: steps or minutes")


@dataclass(frozen=True)
class Progress:
    """State after a step, for logs and checkpoints.

    Attributes
    ----------
    step
        Steps done.
    seconds
        Time spent in steps; a pause of the process counts as one ordinary step.
    fraction
        Part of the training that is done, 0 to 1.
    losses
        Mean of each part of the loss over the step, in this process.
    loss
        Mean loss that was minimised, over all processes.
    stopped
        Whether somebody asked to stop here.
    """

    step: int
    seconds: float
    fraction: float
    learning_rate: float
    losses: dict[str, float]
    loss: float
    stopped: bool = False


def train(
    model: SegVol,
    examples: Iterator[list[Example]],
    settings: LoopSettings,
    report: Callable[[Progress, SegVol], None],
) -> SegVol:
    """Train a network in place and return the average of its weights over the last steps.

    Parameters
    ----------
    model
        On the device to train on.
    examples
        One list of examples per step.
    settings
        Bounds and rates.
    report
        Called after every step with its progress and the averaged network.
    """
    recognition = Recognition(model.config).to(next(model.parameters()).device)
    state = TrainingState(
        model,
        recognition,
        settings.optimiser,
        settings.learning_rate,
        settings.weight_decay,
        precision=settings.precision,
    )
    loss_of = functools.partial(example_loss, model, recognition)
    for progress in training_steps(state, examples, settings, loss_of):
        report(progress, state.average)
    return state.average


def train_part(
    part: nn.Module,
    batches: Iterator[list[ExampleT]],
    settings: LoopSettings,
    loss_of: Callable[[ExampleT], ExampleLoss],
    report: Callable[[Progress], None],
) -> Progress:
    """Train a part of a network alone, in place; its weights become their average at the end.

    Parameters
    ----------
    part
        On the device to train on.
    batches, settings, loss_of
        As for :func:`training_steps`.
    report
        Called after every step.

    Returns
    -------
    Progress
        After the last step.
    """
    state = TrainingState(
        part,
        nn.Module(),
        settings.optimiser,
        settings.learning_rate,
        settings.weight_decay,
        precision=settings.precision,
    )
    for progress in training_steps(state, batches, settings, loss_of):
        report(progress)
    part.load_state_dict(state.average.state_dict())
    return progress


def training_steps(
    state: TrainingState[ModelT],
    examples: Iterator[list[ExampleT]],
    settings: LoopSettings,
    loss_of: Callable[[ExampleT], ExampleLoss],
    wants_to_stop: Callable[[], bool] = lambda: False,
) -> Iterator[Progress]:
    """Take step after step; between two of them the state is whole and can be saved.

    Parameters
    ----------
    state
        Changed in place.
    examples
        One list of examples per step; gradients are accumulated over a list.
    settings
        Bounds and rates.
    loss_of
        Loss of an example, from the network of the state.
    wants_to_stop
        Asked after every step; if it says so in one process, all stop after the same step.
    """
    state.whole.train()
    while state.fraction < 1:
        started = time.monotonic()
        rate = settings.learning_rate * _schedule(state.step, state.fraction, settings)
        for optimiser in state.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate
        loss, losses = _accumulate_gradients(state, next(examples), settings.precision, loss_of)
        taken, loss, stops = average_over_workers(
            state.whole, [time.monotonic() - started, loss, float(wants_to_stop())]
        )
        clip_and_step(state.scaler, state.whole, state.optimisers, settings.largest_gradient)
        state.whole.zero_grad()
        decay = min(settings.average_decay, (1 + state.step) / (10 + state.step))
        _update_average(state.average, state.model, decay)
        state.step += 1
        usual = state.usual
        state.usual = taken if math.isinf(usual) else 0.95 * usual + 0.05 * min(taken, 3 * usual)
        state.seconds += min(taken, 10 * state.usual)
        state.fraction = _fraction(state.step, state.seconds, settings)
        yield Progress(
            state.step, state.seconds, state.fraction, rate, losses, loss, stopped=stops > 0
        )
        if stops > 0:
            return


def _accumulate_gradients(
    state: TrainingState[ModelT],
    examples: list[ExampleT],
    precision: Precision,
    loss_of: Callable[[ExampleT], ExampleLoss],
) -> tuple[float, dict[str, float]]:
    """Mean loss of the examples, and the mean of each of its parts."""
    sums: dict[str, list[float]] = {}
    total = 0.0
    for example in examples:
        with products_in(precision, state.device):
            loss = loss_of(example)
        torch.autograd.backward(state.scaler.scale(loss.total / len(examples)))
        total += float(loss.total.detach()) / len(examples)
        for name, part in loss.parts:
            sums.setdefault(name, []).append(part)
    return total, {name: sum(values) / len(values) for name, values in sums.items()}


def _schedule(step: int, fraction: float, settings: LoopSettings) -> float:
    warmup = min(1.0, (step + 1) / settings.warmup_steps)
    return warmup * max(0.01, 0.5 * (1 + math.cos(math.pi * fraction)))


def _fraction(step: int, seconds: float, settings: LoopSettings) -> float:
    by_steps = 0.0 if settings.steps is None else step / settings.steps
    by_time = 0.0 if settings.minutes is None else seconds / (60 * settings.minutes)
    return min(1.0, max(by_steps, by_time))


def _update_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    with torch.no_grad():
        for kept, new in zip(average.parameters(), model.parameters(), strict=True):
            kept.lerp_(new, 1 - decay)
