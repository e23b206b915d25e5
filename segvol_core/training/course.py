"""The course of a run, from its first step or its checkpoint to its last files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from torch import nn

from segvol_core.training.checkpoint import BestYet, load_checkpoint
from segvol_core.training.interruption import stopping_between_steps
from segvol_core.training.loop import LoopSettings, training_steps
from segvol_core.training.losses import ExampleLoss
from segvol_core.training.results import ResultWriter, Weights, begin_folder
from segvol_core.training.run_settings import RunSettings, comparable
from segvol_core.training.state import TrainingState
from segvol_core.training.team import Member, share_weights
from segvol_core.training.validation import Validation

ModelT = TypeVar("ModelT", bound=nn.Module)
ExampleT = TypeVar("ExampleT")


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

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
    early
        Whether it ended because validation found nothing better any more.
    dice_at_start
        That of the weights it began from; None where they were none or nothing was measured.
    """

    weights: Path | None
    steps: int
    dice: float
    stopped: bool
    early: bool = False
    dice_at_start: float | None = None


@dataclass(frozen=True)
class Course(Generic[ModelT, ExampleT]):
    """What a run does, step after step.

    Attributes
    ----------
    state
        At the beginning.
    examples
        Examples of this process from a step on, one list per step.
    loss_of
        Loss of an example, from the network of the state.
    loop
        Bounds and rates.
    weights
        How its weights are written.
    cases
        Short text that changes with the cases.
    validation
        When and how to look how good the network is; None for never.
    """

    settings: RunSettings
    state: TrainingState[ModelT]
    examples: Callable[[int], Iterator[list[ExampleT]]]
    loss_of: Callable[[ExampleT], ExampleLoss]
    loop: LoopSettings
    weights: Weights
    cases: str
    validation: Validation | None = None


def follow(course: Course[ModelT, ExampleT], member: Member, *, resume: bool) -> Outcome:
    """Take all steps of a run, with log, checkpoints and weights on the way.

    Raises
    ------
    SegVolError
        If there is nothing to resume, or a file cannot be written.
    """
    settings, state = course.settings, course.state
    share_weights(state.whole)
    circumstances: Mapping[str, Any] = {
        **comparable(settings),
        "cases": course.cases,
        "number of processes": member.processes,
    }
    best = BestYet()
    if resume:
        best = load_checkpoint(settings.output, state, circumstances)
    elif member.leads:
        begin_folder(settings.output)
    writer = ResultWriter(
        settings, state, course.weights, circumstances, member, validation=course.validation
    )
    patience = None if course.validation is None else course.validation.patience
    stopped = early = False
    try:
        with stopping_between_steps() as wants_to_stop:
            if not resume:
                best = writer.before_first_step(best)
            stream = course.examples(state.step)
            for progress in training_steps(
                state, stream, course.loop, course.loss_of, wants_to_stop
            ):
                best = writer.after_step(progress, best)
                stopped = progress.stopped
                if patience is not None and best.looks_since >= patience:
                    early = state.fraction < 1
                    state.fraction = 1.0
                    break
        writer.finish(best)
    finally:
        writer.close()
    return Outcome(
        course.weights.written(settings.output),
        state.step,
        best.dice,
        stopped,
        early,
        best.at_start,
    )


def loop_settings(settings: RunSettings, cases: int, windows: int) -> LoopSettings:
    """Bounds and rates of a run.

    Parameters
    ----------
    cases
        Cases to learn from.
    windows
        Windows of a step in all processes.
    """
    optimiser = settings.optimiser
    bounds: list[int] = [] if settings.steps is None else [settings.steps]
    if settings.epochs is not None:
        bounds.append(max(1, round(settings.epochs * cases / windows)))
    return LoopSettings(
        steps=min(bounds) if bounds else None,
        minutes=settings.minutes,
        learning_rate=optimiser.learning_rate,
        weight_decay=optimiser.weight_decay,
        warmup_steps=optimiser.warmup_steps,
        largest_gradient=optimiser.largest_gradient,
        average_decay=optimiser.average_decay,
        precision=settings.precision,
        optimiser=optimiser.name,
    )
