"""A training from settings to weights: prepared cases, steps, validation, checkpoints."""

from __future__ import annotations

import functools

import torch

from segvol_core.model.segvol import SegVol
from segvol_core.training.course import Course, Outcome, loop_settings
from segvol_core.training.data.records import VALIDATION
from segvol_core.training.example_losses import example_loss
from segvol_core.training.examples import Example
from segvol_core.training.launch import run
from segvol_core.training.preparation import Training, digest, prepare_training
from segvol_core.training.recognition import Recognition
from segvol_core.training.results import BEST, LAST, Weights
from segvol_core.training.settings import TrainingSettings
from segvol_core.training.start import starts_anew
from segvol_core.training.state import TrainingState
from segvol_core.training.streams import NumberedExamples
from segvol_core.training.team import Member
from segvol_core.training.validation import Validation, look
from segvol_core.weights import save_model


def run_training(
    settings: TrainingSettings, *, resume: bool = False, overwrite: bool = False
) -> Outcome:
    """Train, as :func:`~segvol_core.training.launch.run` says."""
    prepare = functools.partial(prepare_training, settings)
    return run(settings, prepare, _course, resume=resume, overwrite=overwrite)


def _course(training: Training, member: Member, device: torch.device) -> Course[SegVol, Example]:
    settings = training.settings
    model = training.model.to(device)
    recognition = Recognition(model.config).to(device)
    cases = [case for case in training.cases if case.split != VALIDATION]
    kept = [case for case in training.cases if case.split == VALIDATION and case.label_values]
    loop = loop_settings(settings, len(cases), settings.examples.volumes * member.processes)
    state = TrainingState(
        model,
        recognition,
        loop.optimiser,
        loop.learning_rate,
        loop.weight_decay,
        precision=loop.precision,
    )
    examples = NumberedExamples(cases, model.config, settings.examples, settings.seed)
    validation = Validation(
        functools.partial(look, state.average, kept[: settings.validation.cases]),
        settings.validation.every_steps,
        settings.validation.patience,
        at_start=not starts_anew(settings),
    )
    return Course(
        settings=settings,
        state=state,
        examples=lambda first: examples.steps(first, member.rank, member.processes),
        loss_of=functools.partial(example_loss, model, recognition),
        loop=loop,
        weights=Weights(functools.partial(save_model, state.average), LAST, BEST),
        cases=digest(training.records, model.config),
        validation=validation if kept else None,
    )
