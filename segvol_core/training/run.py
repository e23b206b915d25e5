"""A training from settings to weights: prepared cases, steps, validation, checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from segvol_core.devices import choose_device
from segvol_core.training.checkpoint import BestYet, load_checkpoint
from segvol_core.training.data.records import VALIDATION
from segvol_core.training.interruption import stopping_between_steps
from segvol_core.training.loop import LoopSettings, training_steps
from segvol_core.training.preparation import Training, digest, prepare_training
from segvol_core.training.results import BEST, LAST, RESULTS, ResultWriter, begin_folder
from segvol_core.training.settings import SettingsError, TrainingSettings, comparable
from segvol_core.training.state import TrainingState
from segvol_core.training.streams import NumberedExamples
from segvol_core.training.team import (
    Member,
    is_torchrun,
    local_rank,
    share_weights,
    this_member,
    torchrun_team,
)
from segvol_core.training.workers import run_in_workers


@dataclass(frozen=True)
class Outcome:
    """How a training ended.

    Attributes
    ----------
    weights
        The best weights where there was validation, else the last; None if it was stopped before
        the first checkpoint of either.
    steps
        Steps done.
    dice
        Mean Dice of the best weights on the validation cases; below 0 without validation.
    stopped
        Whether somebody stopped it.
    """

    weights: Path | None
    steps: int
    dice: float
    stopped: bool


def run_training(
    settings: TrainingSettings, *, resume: bool = False, overwrite: bool = False
) -> Outcome:
    """Train, from the beginning or from where the checkpoint in the output folder stands.

    Under torchrun this is called in each of its processes.

    Parameters
    ----------
    settings
        Of :func:`~segvol_core.training.settings.read_settings`.
    resume
        Go on from the checkpoint.
    overwrite
        Begin anew where a training is already; without either that is an error.

    Raises
    ------
    SegVolError
        If settings, data, weights or the checkpoint cannot be used, or a file cannot be written.
    """
    there = [name for name in RESULTS if (settings.output / name).exists()]
    if there and not resume and not overwrite:
        raise SettingsError(
            f"{settings.output} has a training already ({', '.join(there)}): go on with --resume, "
            "or begin anew with --overwrite."
        )
    torch.set_flush_denormal(True)  # Weights near zero would be computed in a slow mode.
    threads = torch.get_num_threads()
    try:
        if is_torchrun():
            device = _device(settings, local_rank())
            torch.set_num_threads(settings.threads)
            with torchrun_team(device) as member:
                return _train(prepare_training(settings, member), member, device, resume=resume)
        device = _device(settings, 0)
        if settings.processes > 1 and device.type != "cpu":
            raise SettingsError("“processes” are for the CPU; for several GPUs, use torchrun.")
        torch.set_num_threads(settings.threads)
        training = prepare_training(settings, Member(0, 1))
        if settings.processes == 1:
            return _train(training, Member(0, 1), device, resume=resume)
        outcomes: list[Outcome] = []

        def work(_rank: int) -> None:
            outcomes.append(_train(training, this_member(), device, resume=resume))

        run_in_workers(settings.processes, work)
        return outcomes[0]
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(False)


def _train(training: Training, member: Member, device: torch.device, *, resume: bool) -> Outcome:
    settings = training.settings
    model = training.model.to(device)
    share_weights(model)
    loop = _loop_settings(training, member)
    state = TrainingState(model, loop.optimiser, loop.learning_rate, loop.weight_decay)
    share_weights(state.recognition)
    kept = [case for case in training.cases if case.split == VALIDATION and case.label_values]
    examples = NumberedExamples(
        [case for case in training.cases if case.split != VALIDATION],
        model.config.window,
        settings.examples,
        settings.seed,
    )
    circumstances = {
        **comparable(settings),
        "cases": digest(training.records, model.config),
        "number of processes": member.processes,
    }
    best = BestYet()
    if resume:
        best = load_checkpoint(settings.output, state, circumstances)
    elif member.leads:
        begin_folder(settings.output)
    writer = ResultWriter(settings, kept[: settings.validation.cases], state, circumstances, member)
    stopped = False
    try:
        with stopping_between_steps() as wants_to_stop:
            stream = examples.steps(state.step, member.rank, member.processes)
            for progress in training_steps(state, stream, loop, wants_to_stop):
                best = writer.after_step(progress, best)
                stopped = progress.stopped
                patience = settings.validation.patience
                if patience is not None and best.looks_since >= patience:
                    state.fraction = 1.0
                    break
        writer.finish(best)
    finally:
        writer.close()
    weights = [settings.output / name for name in (BEST, LAST)]
    return Outcome(
        next((path for path in weights if path.is_file()), None), state.step, best.dice, stopped
    )


def _loop_settings(training: Training, member: Member) -> LoopSettings:
    settings, optimiser = training.settings, training.settings.optimiser
    bounds: list[int] = [] if settings.steps is None else [settings.steps]
    if settings.epochs is not None:
        cases = sum(case.split != VALIDATION for case in training.cases)
        per_step = settings.examples.volumes * member.processes
        bounds.append(max(1, round(settings.epochs * cases / per_step)))
    return LoopSettings(
        steps=min(bounds) if bounds else None,
        minutes=settings.minutes,
        learning_rate=optimiser.learning_rate,
        weight_decay=optimiser.weight_decay,
        warmup_steps=optimiser.warmup_steps,
        largest_gradient=optimiser.largest_gradient,
        average_decay=optimiser.average_decay,
        half_precision=settings.precision == "bfloat16",
        optimiser=optimiser.name,
    )


def _device(settings: TrainingSettings, local: int) -> torch.device:
    device = torch.device(choose_device(settings.device))
    return torch.device("cuda", local) if device.type == "cuda" and is_torchrun() else device
