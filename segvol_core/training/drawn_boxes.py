"""Training of the network for drawn boxes alone, which shows it many boxes a minute."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from segvol_core.model.segvol import SegVol
from segvol_core.training.augmentation import Strength
from segvol_core.training.box_windows import BoxWindows, BoxWindowSource
from segvol_core.training.loop import ExampleLoss, LoopSettings, Progress, training_steps
from segvol_core.training.losses import segmentation_loss
from segvol_core.training.state import TrainingState

ON_DRAWN_BOXES = LoopSettings(steps=12_000, learning_rate=2e-3, optimiser="adamw")
"""A small network with cheap steps takes larger ones."""


def box_stream(
    sources: Sequence[BoxWindowSource],
    strengths: Sequence[Strength],
    shares: npt.NDArray[np.float64],
    windows: int,
    seed: int,
) -> Iterator[list[BoxWindows]]:
    """Endless batches, one per step, drawn from cases in some shares.

    Parameters
    ----------
    sources, strengths, shares
        Of each case; one without anything to draw a box round is passed over.
    windows
        Per batch.
    """
    rng = np.random.default_rng(seed)
    possible = shares * [not source.is_empty for source in sources]
    possible = possible / possible.sum()
    while True:
        chosen = rng.choice(len(sources), size=windows, p=possible)
        drawn = [sources[index].draw(rng, strengths[index]) for index in chosen]
        images, boxes, targets = zip(*drawn, strict=True)
        yield [
            BoxWindows(
                torch.stack(images),
                torch.from_numpy(np.stack(boxes)),
                torch.from_numpy(np.stack(targets)),
            )
        ]


def train_on_drawn_boxes(
    model: SegVol,
    batches: Iterator[list[BoxWindows]],
    settings: LoopSettings,
    report: Callable[[Progress], None],
) -> Progress:
    """Train a network's part for drawn boxes in place; its other parts stay as they are.

    Parameters
    ----------
    model
        With ``config.drawn_box_width``, on the device to train on.
    batches
        One list per step.
    settings
        Bounds and rates; the weights become their average over the last steps.
    report
        Called after every step.

    Returns
    -------
    Progress
        After the last step.
    """
    network, priors = model.drawn_box_network, model.prompt_priors
    if network is None or priors is None:
        raise ValueError("the network has no part for drawn boxes")
    device = next(model.parameters()).device

    def loss_of(batch: BoxWindows) -> ExampleLoss:
        images = batch.images.to(device)
        logits = network.answer(images, priors.of_drawn_box(images, batch.boxes.to(device)))
        with torch.autocast(device.type, enabled=False):
            loss = segmentation_loss(logits, batch.targets.to(device)).mean()
        return ExampleLoss(loss, [("drawn box", float(loss.detach()))])

    state = TrainingState(
        network,
        nn.Module(),
        settings.optimiser,
        settings.learning_rate,
        settings.weight_decay,
        precision=settings.precision,
    )
    for progress in training_steps(state, batches, settings, loss_of):
        report(progress)
    network.load_state_dict(state.average.state_dict())
    return progress
