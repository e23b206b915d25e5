"""A pre-training from settings to an image encoder that a training can start from."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from segvol_core.model.config import SegVolConfig
from segvol_core.model.image_encoder import ImageEncoder
from segvol_core.pretrained_encoder import save_pretrained_encoder
from segvol_core.training.cases import prepare_images
from segvol_core.training.course import Course, Outcome, loop_settings
from segvol_core.training.data.images import read_images
from segvol_core.training.data.records import VALIDATION, CaseRecord, TrainingDataError
from segvol_core.training.launch import run
from segvol_core.training.losses import ExampleLoss
from segvol_core.training.masked_images import Reconstruction, masked_loss
from segvol_core.training.masked_windows import MaskedWindow, NumberedWindows
from segvol_core.training.preparation import digest, prepare_all, records_of
from segvol_core.training.pretraining_settings import PretrainingSettings
from segvol_core.training.results import ENCODER, Weights
from segvol_core.training.run_settings import SettingsError
from segvol_core.training.start import first_network
from segvol_core.training.state import TrainingState
from segvol_core.training.team import Member


@dataclass(frozen=True)
class Pretraining:
    """What all processes of a pre-training have in common.

    Attributes
    ----------
    config
        Of the network that the encoder is for.
    images
        Prepared CTs (D, H, W).
    cases
        Short text that changes with the CTs.
    """

    settings: PretrainingSettings
    config: SegVolConfig
    encoder: ImageEncoder
    images: Sequence[Tensor]
    cases: str


def run_pretraining(
    settings: PretrainingSettings, *, resume: bool = False, overwrite: bool = False
) -> Outcome:
    """Pre-train, as :func:`~segvol_core.training.launch.run` says."""
    prepare = functools.partial(prepare_pretraining, settings)
    return run(settings, prepare, _course, resume=resume, overwrite=overwrite)


def images_of(settings: PretrainingSettings) -> list[CaseRecord]:
    """CTs of all folders, without those that are kept for validation.

    So figures of a later training are those of CTs that no part of its network has seen.

    Raises
    ------
    TrainingDataError
        If a folder cannot be read, two CTs have one name, or none is left.
    """
    read = functools.partial(read_images, but_not_in=settings.output)
    found = [record for record in records_of(settings.data, read) if record.split != VALIDATION]
    if not found:
        raise TrainingDataError("All CTs are kept for validation.")
    return found


def prepare_pretraining(settings: PretrainingSettings, member: Member) -> Pretraining:
    """Read and prepare all CTs, and build the encoder.

    Raises
    ------
    SegVolError
        If settings, data or weights cannot be used.
    """
    records = images_of(settings)
    model = first_network(settings)
    config = replace(model.config, trained_names=())
    _check_unit(settings, config)
    cases = digest(records, config)
    cache = settings.data.cache
    if cache is not None:
        cache /= f"images-{cases}"
    images = prepare_all(prepare_images, records, config, cache, member)
    return Pretraining(settings, config, model.image_encoder, images, cases)


def _check_unit(settings: PretrainingSettings, config: SegVolConfig) -> None:
    unit = settings.examples.hidden_unit
    if any(n % size for n, size in zip(config.grid, unit, strict=True)):
        raise SettingsError(
            f"“examples.hidden_unit”: {unit} patches do not divide the {config.grid} patches of a "
            "window."
        )


def _course(
    prepared: Pretraining, member: Member, device: torch.device
) -> Course[ImageEncoder, MaskedWindow]:
    settings, config = prepared.settings, prepared.config
    encoder = prepared.encoder.to(device)
    head = Reconstruction(config).to(device)
    examples = NumberedWindows(prepared.images, config, settings.examples, settings.seed)
    loop = loop_settings(
        settings, len(prepared.images), settings.examples.volumes * member.processes
    )
    state = TrainingState(
        encoder,
        head,
        loop.optimiser,
        loop.learning_rate,
        loop.weight_decay,
        precision=loop.precision,
    )

    def loss_of(example: MaskedWindow) -> ExampleLoss:
        windows = example.image[None, None].to(device)
        hidden = example.hidden[None].to(device)
        expected = head(encoder, windows, hidden)
        return ExampleLoss(masked_loss(expected, windows, hidden, config.patch))

    return Course(
        settings=settings,
        state=state,
        examples=lambda first: examples.steps(first, member.rank, member.processes),
        loss_of=loss_of,
        loop=loop,
        weights=Weights(functools.partial(save_pretrained_encoder, state.average, config), ENCODER),
        cases=prepared.cases,
    )
