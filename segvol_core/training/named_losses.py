"""What a name network costs that finds names in the wrong places."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from segvol_core.model.name_network import NameNetwork
from segvol_core.training.losses import missing_loss, segmentation_loss
from segvol_core.training.named_windows import NamedWindow

_MISSING_WEIGHT = 0.3


def named_losses(
    network: NameNetwork, windows: Sequence[NamedWindow], read: Callable[[list[str]], Tensor]
) -> Tensor:
    """Losses of all names of some windows, one after the other.

    Parameters
    ----------
    windows
        Each has names.
    read
        Gives the text embeddings (n, width) of names.
    """
    device = next(network.parameters()).device
    grey = torch.stack([window.grey for window in windows]).to(device)
    places = torch.stack([window.places for window in windows]).to(device)
    losses = []
    for features, window in zip(network.features(grey, places), windows, strict=True):
        with torch.autocast(device.type, enabled=False):
            logits = network.compare(features.float(), read(window.names))
            masks = window.masks.to(device)
            losses.append(
                segmentation_loss(logits.unsqueeze(1), masks)
                + _MISSING_WEIGHT * missing_loss(logits, masks)
            )
    return torch.cat(losses)
