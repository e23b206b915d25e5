"""The network that a training begins with, and which of its parts stay as they are."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from segvol_core.errors import WeightsError
from segvol_core.model.config import PUBLISHED, SegVolConfig
from segvol_core.model.segvol import SegVol
from segvol_core.pretrained_encoder import (
    holds_pretrained_encoder,
    load_pretrained_encoder,
    pretrained_config,
)
from segvol_core.training.data.records import TRAIN, CaseRecord
from segvol_core.training.initialisation import initialise_from_data
from segvol_core.training.names import spellings
from segvol_core.training.run_settings import RunSettings, SettingsError
from segvol_core.training.settings import TrainingSettings
from segvol_core.training.starter_network import STARTER
from segvol_core.weights import load_model

_UNETS = ("refinement", "region_network", "name_network")
_NETWORKS = {"starter": STARTER, "segvol": PUBLISHED}


def network_to_train(settings: TrainingSettings, records: Sequence[CaseRecord]) -> SegVol:
    """Network with its first weights, which knows the names that it will be taught.

    Raises
    ------
    SettingsError
        If the sizes of a new network make no sense, or a part to freeze does not exist.
    WeightsError
        If the weights to start from cannot be read.
    """
    model = first_network(settings)
    known = () if starts_anew(settings) else model.config.trained_names
    # None stands for the names of the published model, which it keeps.
    if known is not None:
        model.config = replace(
            model.config, trained_names=tuple(sorted({*known, *taught_names(records)}))
        )
    freeze(model, settings.freeze)
    return model


def first_network(settings: RunSettings) -> SegVol:
    """Network with its first weights.

    Raises
    ------
    SettingsError
        If the sizes of a new network make no sense.
    WeightsError
        If the weights to start from cannot be read.
    """
    torch.manual_seed(settings.seed)
    if settings.start is None:
        return SegVol(_new_config(settings))
    if holds_pretrained_encoder(settings.start):
        model = SegVol(pretrained_config(settings.start))
        load_pretrained_encoder(model, settings.start)
        return model
    return load_model(settings.start)


def starts_anew(settings: RunSettings) -> bool:
    """Whether the network learns from nothing, but for an encoder that may be pre-trained.

    Raises
    ------
    WeightsError
        If the weights to start from cannot be read.
    """
    return settings.start is None or holds_pretrained_encoder(settings.start)


def begin_from_images(
    model: SegVol, images: Sequence[Tensor], seed: int, *, keep_encoder: bool = False
) -> None:
    """Let a network that learns from nothing start from what its images are like.

    Parameters
    ----------
    keep_encoder
        Whether its image encoder has learnt already.
    """
    encoder = copy.deepcopy(model.image_encoder.state_dict())
    initialise_from_data(model, images, np.random.default_rng(seed))
    if keep_encoder:
        model.image_encoder.load_state_dict(encoder)


def begin_from(model: SegVol, trained: SegVol) -> None:
    """Take the weights of a trained network, which may be without U-Nets of this one, or levels.

    Raises
    ------
    WeightsError
        If the two differ in anything else.
    """
    weights = trained.state_dict()
    own = {key: value for key, value in model.state_dict().items() if key.split(".")[0] in _UNETS}
    try:
        model.load_state_dict({**own, **weights})
    except RuntimeError as error:
        raise WeightsError("The weights to start from are of a network of other sizes.") from error


def taught_names(records: Iterable[CaseRecord]) -> tuple[str, ...]:
    """Names of all structures with labels to learn from, as inference names them."""
    labelled = {name for record in records if record.split == TRAIN for name in record.structures}
    return tuple(sorted({spellings(name)[0] for name in labelled}))


def freeze(model: SegVol, parts: Iterable[str]) -> None:
    """Keep parts of a network as they are.

    Raises
    ------
    SettingsError
        If it has no such part, or nothing would be left to train.
    """
    for name in parts:
        try:
            part = model.get_submodule(name)
        except AttributeError as error:
            there = ", ".join(child for child, _ in model.named_children())
            raise SettingsError(
                f"“freeze”: the network has no part {name}. Its parts are {there}."
            ) from error
        if not name:
            raise SettingsError("“freeze”: an empty name is no part of the network.")
        part.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise SettingsError("“freeze”: nothing of the network would be left to train.")


def _new_config(settings: RunSettings) -> SegVolConfig:
    if isinstance(settings.network, str):
        return _NETWORKS[settings.network]
    try:
        return SegVolConfig.from_dict(settings.network or {})
    except (ArithmeticError, TypeError, ValueError) as error:
        raise SettingsError(f"“network” makes no sense: {error}.") from error
