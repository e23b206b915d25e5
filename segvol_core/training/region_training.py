"""Training of the region network alone, which shows it many prompts a minute."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from segvol_core.model.config import Size3
from segvol_core.model.segvol import SegVol
from segvol_core.training.augmentation import Strength
from segvol_core.training.loop import LoopSettings, Progress, train_part
from segvol_core.training.losses import ExampleLoss, segmentation_loss
from segvol_core.training.prompted_windows import (
    REGIONS_FOR_CLICKS,
    FloatArray,
    Kind,
    PromptedWindows,
    StructureWindows,
    draw_kind,
    draw_size,
    prompted,
)

ON_WINDOWS = LoopSettings(steps=12_000, learning_rate=2e-3, optimiser="adamw")
"""A small network with cheap steps takes larger ones."""


def window_stream(
    sources: Sequence[StructureWindows],
    strengths: Sequence[Strength],
    shares: FloatArray,
    windows: int,
    seed: int,
    *,
    window: Size3,
    multiple: int,
) -> Iterator[list[PromptedWindows]]:
    """Endless batches, one per step, drawn from cases in some shares.

    Parameters
    ----------
    sources, strengths, shares
        Of each case; one with nothing to show is passed over.
    windows
        Per batch; fewer of larger ones.
    window, multiple
        The network's, of which sides of a larger one are multiples.
    """
    rng = np.random.default_rng(seed)
    while True:
        kind = draw_kind(rng)
        size = draw_size(window, multiple, rng)
        count = max(1, windows * math.prod(window) // math.prod(size))
        chosen = rng.choice(len(sources), size=count, p=shares_for(kind, sources, shares))
        shown = [sources[index].draw(rng, strengths[index], kind, size) for index in chosen]
        yield [prompted(shown, kind, rng)]


def shares_for(kind: Kind, sources: Sequence[StructureWindows], shares: FloatArray) -> FloatArray:
    """How often each case is drawn for a kind of prompt: those without organs less for clicks."""
    possible = shares * [not source.is_empty for source in sources]
    if kind in ("points", "coarse"):
        possible = possible * [
            1.0 if source.has_structures else REGIONS_FOR_CLICKS for source in sources
        ]
    drawn: FloatArray = possible / possible.sum()
    return drawn


def train_on_windows(
    model: SegVol,
    batches: Iterator[list[PromptedWindows]],
    settings: LoopSettings,
    report: Callable[[Progress], None],
) -> Progress:
    """Train a network's region network in place; its other parts stay as they are.

    Parameters
    ----------
    model
        With ``config.region_network_width``, on the device to train on.
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
    network = model.region_network
    if network is None:
        raise ValueError("the network has no region network")
    device = next(model.parameters()).device

    def loss_of(batch: PromptedWindows) -> ExampleLoss:
        images = batch.images.to(device)
        boxes = None if batch.boxes is None else batch.boxes.to(device)
        points = batch.points and (batch.points[0].to(device), batch.points[1].to(device))
        coarse = None if batch.coarse is None else batch.coarse.to(device)
        logits = network.answer(images, points=points, boxes=boxes, coarse=coarse)[:, None]
        with torch.autocast(device.type, enabled=False):
            loss = segmentation_loss(logits, batch.targets.to(device)).mean()
        return ExampleLoss(loss, [(f"window:{batch.kind}", float(loss.detach()))])

    return train_part(network, batches, settings, loss_of, report)
