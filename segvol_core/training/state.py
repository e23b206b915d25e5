"""What a training has come to: weights, their average, optimisers, clock and random numbers."""

from __future__ import annotations

import copy
import math
from typing import Any, Generic, TypeVar

import torch
from torch import nn

from segvol_core.training.optimisers import OptimiserName, make_optimisers
from segvol_core.training.precision import Precision, gradient_scaler

ModelT = TypeVar("ModelT", bound=nn.Module)


class TrainingState(Generic[ModelT]):
    """All that the next step depends on, but for the examples.

    Parameters
    ----------
    model
        Network to train, on the device to train on; frozen where its parameters want no gradient.
    helper
        What is trained with it and thrown away, on the same device.

    Attributes
    ----------
    device
        Where the network is.
    average
        Network of the exponential moving average of the weights, which is what training yields.
    whole
        The network and its helper.
    scaler
        Of the loss, for gradients in float16.
    step
        Steps done.
    seconds
        Time spent in steps.
    usual
        What a step usually takes, in seconds.
    fraction
        Part of the training that is done, 0 to 1.
    """

    def __init__(
        self,
        model: ModelT,
        helper: nn.Module,
        optimiser: OptimiserName,
        learning_rate: float,
        weight_decay: float,
        *,
        precision: Precision,
    ) -> None:
        self.device = next(model.parameters()).device
        self.model = model
        self.average = copy.deepcopy(model).eval()
        self.helper = helper
        self.whole = nn.ModuleList([model, helper])
        self.optimisers = make_optimisers(self.whole, optimiser, learning_rate, weight_decay)
        self.scaler = gradient_scaler(precision, self.device)
        self.step, self.seconds, self.usual, self.fraction = 0, 0.0, math.inf, 0.0

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain numbers, for :func:`torch.save`."""
        return {
            "step": self.step,
            "seconds": self.seconds,
            "usual": self.usual,
            "fraction": self.fraction,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "helper": self.helper.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "scaler": self.scaler.state_dict(),
            "random": torch.get_rng_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to where a state was saved.

        Raises
        ------
        KeyError, RuntimeError, ValueError
            If it is the state of another network.
        """
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.helper.load_state_dict(state["helper"])
        # Copies: tensors left in a file would tie the optimisers to it.
        for optimiser, values in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(copy.deepcopy(values))
        self.scaler.load_state_dict(state["scaler"])
        self.step, self.seconds = int(state["step"]), float(state["seconds"])
        self.usual, self.fraction = float(state["usual"]), float(state["fraction"])
        torch.set_rng_state(state["random"])
