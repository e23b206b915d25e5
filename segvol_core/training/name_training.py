"""Training of the name network alone, from the texts as the text encoder reads them already."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from segvol_core.model.segvol import SegVol
from segvol_core.training.augmentation import Strength
from segvol_core.training.loop import LoopSettings, Progress, train_part
from segvol_core.training.losses import ExampleLoss
from segvol_core.training.named_losses import named_losses
from segvol_core.training.named_windows import NamedWindow, NamedWindows

ON_NAMES = LoopSettings(steps=12_000, learning_rate=1e-3, optimiser="adamw")
"""Steps are cheap, and see all names of a case at once."""


@dataclass(frozen=True)
class NameSource:
    """Where windows come from, how they are changed, and how often."""

    windows: NamedWindows
    strength: Strength
    share: float


def name_stream(
    sources: Sequence[NameSource], windows: int, seed: int
) -> Iterator[list[list[NamedWindow]]]:
    """Endless batches of so many windows, one per step."""
    rng = np.random.default_rng(seed)
    shares: npt.NDArray[np.float64] = np.array([source.share for source in sources])
    shares = shares / shares.sum()
    while True:
        batch: list[NamedWindow] = []
        while len(batch) < windows:
            source = sources[int(rng.choice(len(sources), p=shares))]
            drawn = source.windows.draw(rng, source.strength)
            if drawn.names:
                batch.append(drawn)
        yield [batch]


def train_on_names(
    model: SegVol,
    batches: Iterator[list[list[NamedWindow]]],
    settings: LoopSettings,
    report: Callable[[Progress], None],
) -> Progress:
    """Train a network's name network in place; its other parts stay as they are.

    Parameters
    ----------
    model
        With ``config.name_network_width``, on the device to train on.
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
    network = model.name_network
    if network is None:
        raise ValueError("the network has no name network")
    texts: dict[str, Tensor] = {}

    def read(names: list[str]) -> Tensor:
        for name in names:
            if name not in texts:
                with torch.no_grad():
                    texts[name] = model.text_encoder([name])
        return torch.cat([texts[name] for name in names])

    def loss_of(batch: list[NamedWindow]) -> ExampleLoss:
        loss = named_losses(network, batch, read).mean()
        return ExampleLoss(loss, [("named", float(loss.detach()))])

    return train_part(network, batches, settings, loss_of, report)
