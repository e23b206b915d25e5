"""The work of `segvol segment`: read, segment, write, and what came of it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from rich.progress import Progress

from segvol_core import __version__
from segvol_core.cli.answers import Answer
from segvol_core.cli.clock import Clock
from segvol_core.cli.command_group import noted_warnings
from segvol_core.cli.progress import step
from segvol_core.cli.prompt_options import SegmentRequest
from segvol_core.cli.segmenting_there import Server, answers_there
from segvol_core.devices import choose_device
from segvol_core.embeddings import Precision
from segvol_core.errors import SegVolError, SegVolWarning
from segvol_core.inference import Stage
from segvol_core.model.segvol import SegVol
from segvol_core.prompts import Prompts
from segvol_core.segmentation_io import (
    check_target,
    segment_of_organ,
    target_files,
    write_segmentation,
)
from segvol_core.session import NOTHING_FOUND, Session
from segvol_core.volume import Volume
from segvol_core.volume_io import read_volume
from segvol_core.weights import load_model
from segvol_core.weights_folder import weights_path
from segvol_core.wire import MAX_NAMES
from segvol_core.zoom import Placement

_AS_THE_SERVER = "as the server was started"


@dataclass(frozen=True)
class Task:
    """What `segvol segment` is asked to do; the fields are its options."""

    ct: Path
    series: str | None
    requests: Sequence[SegmentRequest]
    output: Path
    split: bool
    overwrite: bool
    weights: str
    device: str
    windows: Placement
    precision: Precision
    cache_bytes: int
    identify: bool = False
    server: Server | None = None


@dataclass(frozen=True)
class SegmentResult:
    """One segment as it was written.

    Attributes
    ----------
    name
        What it is called in the file.
    text
        What the model was given, or None.
    voxels, millilitres
        Its size; 0 if nothing was found.
    coarse_seconds, final_seconds
        From the beginning of segmenting to its coarse and to its final mask.
    file
        Where it was written.
    label
        Its value there.
    names
        What it could be, with probabilities, the best name first; empty where not asked for.
    """

    name: str
    text: str | None
    voxels: int
    millilitres: float
    coarse_seconds: float
    final_seconds: float
    file: Path
    label: int
    names: dict[str, float]


@dataclass(frozen=True)
class Result:
    """What `segvol segment --json` prints.

    Attributes
    ----------
    version
        Of this package.
    device, weights, windows, precision
        What was used.
    segments, files
        What was written.
    seconds
        ``start`` (PyTorch), ``read``, ``load`` (the network, or the server's first answer),
        ``prepare`` (the volume, or sending it to the server),
        ``segment`` (all masks), ``write``, ``total``; and ``first_mask``, from the beginning of
        ``segment`` to the first coarse mask.
    warnings
        Sentences, which went to stderr too.
    """

    version: str
    device: str
    weights: str
    windows: str
    precision: str
    segments: list[SegmentResult]
    files: list[Path]
    seconds: dict[str, float]
    warnings: list[str]


def segment_file(task: Task, progress: Progress, clock: Clock) -> Result:
    """Read a CT, segment it, and write the segments.

    Raises
    ------
    SegVolError
        If something that was asked for cannot be; no file has been written then.
    """
    with noted_warnings() as noted:
        _refuse_targets(task)
        if task.identify and all(request.organ is not None for request in task.requests):
            _warn("--identify is for a segment from points or a box that has no name.")
        if task.server is None:
            weights_path(task.weights)
            choose_device(task.device)
        with step(progress, "Reading the CT"):
            volume = read_volume(task.ct, task.series)
        check_target(task.output, volume)
        prompts = [request.prompts(volume) for request in task.requests]
        clock.lap("read")
        to_name = [
            index
            for index, request in enumerate(task.requests)
            if task.identify and request.organ is None
        ]
        if task.server is None:
            answers, device = _answers_here(
                task, volume, prompts, to_name, progress=progress, clock=clock
            )
        else:
            answers, device = answers_there(
                task.server, task.weights, volume, prompts, to_name, progress=progress, clock=clock
            )
        clock.lap("segment")
        for request, answer in zip(task.requests, answers, strict=True):
            if not answer.mask.any():
                _warn(f"{request.name}: {NOTHING_FOUND}")
        with step(progress, "Writing"):
            files = write_segmentation(
                task.output,
                volume,
                [
                    segment_of_organ(request.name, answer.mask, request.organ)
                    for request, answer in zip(task.requests, answers, strict=True)
                ],
                split=task.split,
            )
        clock.lap("write")
    first_mask = min(answer.coarse_seconds for answer in answers)
    return Result(
        version=__version__,
        device=device,
        weights=task.weights,
        windows=task.windows if task.server is None else _AS_THE_SERVER,
        precision=task.precision if task.server is None else _AS_THE_SERVER,
        segments=_results(task, volume, answers, files),
        files=files,
        seconds={**clock.laps, "first_mask": first_mask, "total": clock.total()},
        warnings=noted,
    )


def _answers_here(
    task: Task,
    volume: Volume,
    prompts: Sequence[Prompts],
    to_name: Collection[int],
    *,
    progress: Progress,
    clock: Clock,
) -> tuple[list[Answer], str]:
    """Final masks of all prompts, and the device that they were computed on."""
    with step(progress, "Loading the network"):
        model = _load_on(choose_device(task.device), task.weights)
    clock.lap("load")
    with step(progress, "Preparing the CT"):
        session = Session(
            model,
            volume,
            windows=task.windows,
            cache_bytes=task.cache_bytes,
            precision=task.precision,
        )
    clock.lap("prepare")
    answers = _segment(session, prompts, to_name, progress)
    return answers, str(next(model.parameters()).device)


def _segment(
    session: Session, prompts: Sequence[Prompts], to_name: Collection[int], progress: Progress
) -> list[Answer]:
    """Final masks of all prompts, with the seconds that each mask took."""
    begin = time.perf_counter()
    bar = progress.add_task("Segmenting", total=1.0)
    coarse_seconds: dict[int, float] = {}
    answers: dict[int, Answer] = {}
    for update in session.segment_many(prompts, to_name):
        doing = "Segmenting"
        if update.stage is Stage.COARSE:
            doing += f": coarse mask {update.index + 1} of {len(prompts)}"
        progress.update(bar, description=doing, completed=update.fraction)
        seconds = time.perf_counter() - begin
        if update.stage is Stage.COARSE:
            coarse_seconds[update.index] = seconds
        elif update.mask is not None:
            answers[update.index] = Answer(update.mask, coarse_seconds[update.index], seconds)
        elif update.stage is Stage.NAMED:
            names = {each.organ.name: each.probability for each in update.names[:MAX_NAMES]}
            answers[update.index] = replace(answers[update.index], names=names)
    progress.remove_task(bar)
    return [answers[index] for index in range(len(prompts))]


def _results(
    task: Task, volume: Volume, answers: Sequence[Answer], files: Sequence[Path]
) -> list[SegmentResult]:
    results = []
    for index, (request, answer) in enumerate(zip(task.requests, answers, strict=True)):
        voxels = int(np.count_nonzero(answer.mask))
        results.append(
            SegmentResult(
                name=request.name,
                text=request.text,
                voxels=voxels,
                millilitres=voxels * volume.voxel_ml,
                coarse_seconds=answer.coarse_seconds,
                final_seconds=answer.final_seconds,
                file=files[index if task.split else 0],
                label=1 if task.split else index + 1,
                names=answer.names,
            )
        )
    return results


def _refuse_targets(task: Task) -> None:
    """Make sure that nothing is lost by writing, before anything is computed."""
    names = [request.name for request in task.requests]
    for file in target_files(task.output, names, split=task.split):
        if not file.exists():
            continue
        if task.ct.exists() and file.samefile(task.ct):
            raise SegVolError(f"{file} is the CT itself: name another file for the segments.")
        if not task.overwrite:
            raise SegVolError(f"{file} exists already; --overwrite replaces it.")


def _load_on(device: torch.device, weights: str) -> SegVol:
    """Load a network, on the CPU if the device has no room for it."""
    try:
        return load_model(weights, device)
    except torch.OutOfMemoryError:
        _warn("The GPU's memory does not suffice for the network: going on with the CPU.")
        return load_model(weights, "cpu")


def _warn(message: str) -> None:
    warnings.warn(message, SegVolWarning, stacklevel=3)
