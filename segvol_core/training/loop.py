"""The training loop: examples in, weights out, bounded by steps or by time."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from segvol_core.model.segvol import SegVol
from segvol_core.training.examples import Example, PromptBatch, Structures
from segvol_core.training.losses import segmentation_loss
from segvol_core.training.named_losses import named_losses
from segvol_core.training.optimisers import OptimiserName
from segvol_core.training.precision import Precision, clip_and_step, products_in
from segvol_core.training.recognition import Recognition
from segvol_core.training.state import TrainingState
from segvol_core.training.workers import average_over_workers
from segvol_core.training.zoom_in import boxes_around, coarse_in_window

_RECOGNITION_WEIGHT = 0.5

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
        Of matrix products: bfloat16 takes a third of the time on CPUs that have it. With float16,
        which older GPUs have, the loss is scaled so that no gradient is too small for it.
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
    precision: Precision = "bfloat16"
    optimiser: OptimiserName = "muon"

    def __post_init__(self) -> None:
        if self.steps is None and self.minutes is None:
            raise ValueError("training needs a bound: steps or minutes")


@dataclass(frozen=True)
class ExampleLoss:
    """Loss of an example.

    Attributes
    ----------
    total
        What is minimised.
    parts
        Its parts for the log, by name; one name may come several times.
    """

    total: Tensor
    parts: list[tuple[str, float]] = field(default_factory=list)


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


def prompt_losses(
    model: SegVol, embeddings: Tensor, example: Example, prompts: PromptBatch
) -> tuple[Tensor, ...]:
    """Losses (n,) zoomed out and (n,) zoomed in of a batch of prompts.

    A third one is that of a region network: of its answer to boxes and clicks, or of what it makes
    of the coarse mask of a text.

    Parameters
    ----------
    embeddings
        (2, width, d, h, w) of overview and window.
    """
    device = embeddings.device
    images = torch.stack([example.overview, example.window]).to(device)
    texts = None if prompts.texts is None else model.text_encoder(prompts.texts)
    boxes = None if prompts.overview_boxes is None else prompts.overview_boxes.to(device)
    overview = model.decode(
        embeddings[:1],
        points=_on(prompts.overview_points, device),
        boxes=boxes,
        text_embedding=texts,
        image=images[:1],
    )
    with torch.no_grad():
        coarse = coarse_in_window(model.upscale(overview.detach().float()), example.positions)
        box = None if prompts.kind == "text" else boxes_around(coarse > 0)
    points = _on(prompts.window_points, device)
    drawn = None if prompts.window_boxes is None else prompts.window_boxes.to(device)
    window = model.decode(
        embeddings[1:],
        points=points,
        boxes=box,
        text_embedding=texts,
        coarse=coarse,
        drawn_boxes=drawn,
        image=images[1:],
    )
    target = prompts.window_target.to(device)
    with torch.autocast(device.type, enabled=False):
        losses = (
            segmentation_loss(overview.float(), prompts.overview_target.to(device)),
            segmentation_loss(window.float(), target),
        )
    if model.region_network is None:
        return losses
    by_name = coarse if drawn is None and points is None else None
    region = model.region_network.answer(images[1:], points=points, boxes=drawn, coarse=by_name)
    with torch.autocast(device.type, enabled=False):
        return *losses, segmentation_loss(region.unsqueeze(1), target)


def example_loss(model: SegVol, recognition: Recognition, example: Example) -> ExampleLoss:
    """Loss of all that is asked of an example, a part for each kind of prompt."""
    device = next(model.parameters()).device
    images = torch.stack([example.overview, example.window])[:, None].to(device)
    embeddings = model.image_encoder(images)
    # With few tokens on one side, the gradient of fused attention is five times slower.
    with sdpa_kernel(SDPBackend.MATH):
        losses = [prompt_losses(model, embeddings, example, each) for each in example.prompts]
        named = None
        if example.structures is not None:
            named = recognition_loss(model, recognition, embeddings, example.structures)
        found = []
        if model.name_network is not None and example.named is not None:
            found = [named_losses(model.name_network, [example.named], model.text_encoder)]
    loss = torch.cat([*(part for pair in losses for part in pair), *found]).mean()
    parts = [
        (f"{place}:{prompts.kind}", float(part.detach().mean()))
        for prompts, pair in zip(example.prompts, losses, strict=True)
        for place, part in zip(("out", "in", "region"), pair, strict=False)
    ]
    parts += [("network of names", float(part.detach().mean())) for part in found]
    if named is not None:
        loss = loss + _RECOGNITION_WEIGHT * named.mean()
        parts.append(("names", float(named.detach().mean())))
    return ExampleLoss(loss, parts)


def recognition_loss(
    model: SegVol, recognition: Recognition, embeddings: Tensor, structures: Structures
) -> Tensor:
    """Loss (n,) of naming what each patch of overview and window shows."""
    device = embeddings.device
    names = model.text_encoder(structures.names)
    losses = []
    for embedding, masks in zip(
        embeddings, (structures.overview_masks, structures.window_masks), strict=True
    ):
        logits = recognition(embedding[None], names)
        with torch.autocast(device.type, enabled=False):
            losses.append(segmentation_loss(logits.float(), masks.to(device)))
    return torch.cat(losses)


def _on(points: tuple[Tensor, Tensor] | None, device: torch.device) -> tuple[Tensor, Tensor] | None:
    return None if points is None else (points[0].to(device), points[1].to(device))


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
