"""A training from settings to weights: prepared cases, steps, validation, checkpoints."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from segvol_core.devices import choose_device
from segvol_core.model.config import SegVolConfig
from segvol_core.model.segvol import SegVol
from segvol_core.training import checkpoint
from segvol_core.training.cases import TrainingCase, prepare_cases
from segvol_core.training.checkpoint import BestYet, load_checkpoint, save_checkpoint
from segvol_core.training.data.layouts import read_records
from segvol_core.training.data.records import VALIDATION, CaseRecord, TrainingDataError
from segvol_core.training.history import History
from segvol_core.training.interruption import stopping_between_steps
from segvol_core.training.loop import LoopSettings, Progress, training_steps
from segvol_core.training.settings import SettingsError, TrainingSettings, comparable
from segvol_core.training.start import begin_from_images, network_to_train
from segvol_core.training.state import TrainingState
from segvol_core.training.streams import NumberedExamples
from segvol_core.training.team import (
    Member,
    is_torchrun,
    local_rank,
    share_weights,
    this_member,
    told_by_the_leader,
    torchrun_team,
)
from segvol_core.training.validation import zoom_out_dice
from segvol_core.training.workers import run_in_workers
from segvol_core.weights import save_model

BEST, LAST = "best.safetensors", "last.safetensors"

_RESULTS = (checkpoint.NAME, BEST, LAST)

_log = logging.getLogger("segvol.training")


@dataclass(frozen=True)
class Training:
    """What all processes of a training share."""

    settings: TrainingSettings
    records: Sequence[CaseRecord]
    cases: Sequence[TrainingCase]
    model: SegVol


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


def records_of(settings: TrainingSettings) -> list[CaseRecord]:
    """Cases of all training folders.

    Raises
    ------
    TrainingDataError
        If a folder cannot be read, or two cases have one name.
    """
    validation = settings.data.validation
    if isinstance(validation, float):
        records = [
            record
            for folder in settings.data.folders
            for record in read_records(folder, validation)
        ]
    else:
        records = _with_named_validation(settings.data.folders, validation)
    names = [record.name for record in records]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise TrainingDataError(f"Two of the folders have a case of the name {twice}.")
    return records


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
    there = [name for name in _RESULTS if (settings.output / name).exists()]
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
                return _train(_prepare(settings, member), member, device, resume=resume)
        device = _device(settings, 0)
        if settings.processes > 1 and device.type != "cpu":
            raise SettingsError("“processes” are for the CPU; for several GPUs, use torchrun.")
        torch.set_num_threads(settings.threads)
        training = _prepare(settings, Member(0, 1))
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


def _prepare(settings: TrainingSettings, member: Member) -> Training:
    records = records_of(settings)
    model = network_to_train(settings, records)
    cache = settings.data.cache
    if cache is not None:
        cache /= _digest(records, model.config)
        # The leader fills the folder, the others read it.
        told_by_the_leader(member, lambda: _fill(records, model.config, cache))
    cases = []
    for case in prepare_cases(records, model.config, cache):
        cases.append(case)
        if member.leads and (len(cases) % 20 == 0 or len(cases) == len(records)):
            _log.info("prepared %d of %d cases", len(cases), len(records))
    if settings.start is None:
        images = [case.image for case in cases if case.split != VALIDATION]
        begin_from_images(model, images, settings.seed)
    return Training(settings, records, cases, model)


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
        "cases": _digest(training.records, model.config),
        "number of processes": member.processes,
    }
    best = BestYet()
    if resume:
        best = load_checkpoint(settings.output, state, circumstances)
    elif member.leads:
        _begin_folder(settings.output)
    writer = _Writer(settings, kept[: settings.validation.cases], state, circumstances, member)
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


class _Writer:
    """Validation, log and files of a training; only the leading process has them."""

    def __init__(
        self,
        settings: TrainingSettings,
        validation: Sequence[TrainingCase],
        state: TrainingState,
        circumstances: dict[str, object],
        member: Member,
    ) -> None:
        self._settings, self._validation, self._state = settings, validation, state
        self._circumstances, self._member = circumstances, member
        self._history = History(settings.output, state.step) if member.leads else None

    def after_step(self, progress: Progress, best: BestYet) -> BestYet:
        """Look, log and save where it is time; returns what validation knows now."""
        dice, kinds = None, None
        every = self._settings.validation.every_steps
        last = progress.fraction >= 1
        if self._validation and (progress.step % every == 0 or last):
            dice, kinds = told_by_the_leader(self._member, self._look)
            best = best.after(dice)
            if best.looks_since == 0:
                self._save_weights(BEST, best)
        if self._history is not None:
            self._history.note(progress, dice, kinds)
            if dice is not None or progress.step % 20 == 0 or last:
                _log.info(
                    "%3.0f %% | step %d | %.1f min | loss %.4f%s",
                    100 * progress.fraction, progress.step, progress.seconds / 60, progress.loss,
                    "" if dice is None else f" | validation Dice {dice:.3f}",
                )  # fmt: skip
        if progress.step % self._settings.checkpoint_steps == 0:
            self._save_state(best)
        return best

    def finish(self, best: BestYet) -> None:
        """Write the last checkpoint and weights."""
        self._save_state(best)
        self._save_weights(LAST, best)

    def close(self) -> None:
        """Finish the log."""
        if self._history is not None:
            self._history.close()

    def _look(self) -> tuple[float, dict[str, float]]:
        found = zoom_out_dice(self._state.average, self._validation)
        kinds = {
            kind: float(np.mean(list(structures.values()))) if structures else 0.0
            for kind, structures in found.items()
        }
        return float(np.mean(list(kinds.values()))), kinds

    def _save_state(self, best: BestYet) -> None:
        if self._member.leads:
            save_checkpoint(self._settings.output, self._state, best, self._circumstances)

    def _save_weights(self, name: str, best: BestYet) -> None:
        if not self._member.leads:
            return
        metadata = {
            "name": self._settings.output.name,
            "seed": str(self._settings.seed),
            "steps": str(self._state.step),
            "training_minutes": f"{self._state.seconds / 60:.1f}",
            "start": str(self._settings.start),
        }
        if best.dice >= 0:
            metadata["best_validation_dice"] = f"{best.dice:.4f}"
        save_model(self._state.average, self._settings.output / name, metadata)


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


def _begin_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in _RESULTS:
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise SettingsError(f"{folder} cannot be written to: {error}.") from error


def _fill(records: Sequence[CaseRecord], config: SegVolConfig, cache: Path) -> None:
    for _ in prepare_cases(records, config, cache):
        pass


def _with_named_validation(folders: Sequence[Path], validation: Sequence[str]) -> list[CaseRecord]:
    wanted, records = set(validation), []
    for folder in folders:
        here = {record.name for record in read_records(folder, 0.0)} & wanted
        records += read_records(folder, tuple(here))
    missing = sorted(wanted - {record.name for record in records})
    if missing:
        raise SettingsError(f"“validation” names {missing[0]}, and no folder has such a case.")
    return records


def _digest(records: Sequence[CaseRecord], config: SegVolConfig) -> str:
    """Short text that changes with the cases, their files, and how a network wants them."""
    seen = [
        [record.name, record.split, sorted(record.structures), str(path), *_stamp(path)]
        for record in records
        for path in record.files
    ]
    wants = [config.window, config.spacing_mm, config.hounsfield_levels]
    return hashlib.sha256(json.dumps([seen, wants]).encode()).hexdigest()[:16]


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _device(settings: TrainingSettings, local: int) -> torch.device:
    device = torch.device(choose_device(settings.device))
    return torch.device("cuda", local) if device.type == "cuda" and is_torchrun() else device
