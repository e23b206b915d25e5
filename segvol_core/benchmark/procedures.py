"""One procedure on one CT, timed in a process of its own so that its peak memory is its own."""

from __future__ import annotations

import contextlib
import multiprocessing
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from segvol_core.benchmark.published_kernels import use_published_kernels
from segvol_core.embeddings import WindowEncoder, kept_type
from segvol_core.errors import SegVolError
from segvol_core.inference import Stage, ZoomOutZoomIn
from segvol_core.model.config import SegVolConfig
from segvol_core.model.segvol import SegVol
from segvol_core.preprocessing import prepare
from segvol_core.volume_io import read_volume
from segvol_core.weights import load_model
from segvol_core.zoom import ImagePrompt, Placement

Procedure = Literal["published", "same windows", "lattice"]
"""``published``: everything encoded for every prompt. ``same windows``: this package's with the
same windows, whose logits must be the same. ``lattice``: this package's default."""

CACHE_BYTES = 1024**3
_SEED = 0


@dataclass(frozen=True)
class Task:
    """What every procedure is given.

    Attributes
    ----------
    ct
        File or DICOM folder.
    weights
        Name or file; None for random weights of the published sizes, or of ``config``.
    names
        Organ names; the first two are timed alone, all of them together.
    threads
        CPU threads.
    """

    ct: Path
    weights: str | None
    names: tuple[str, ...]
    threads: int
    config: SegVolConfig = field(default_factory=SegVolConfig)


@dataclass(frozen=True)
class Timing:
    """What one procedure took.

    Attributes
    ----------
    preparing, first
        Seconds of preparing a new volume, and of the first prompt on it, preparing included.
    second, all_names
        Seconds of another prompt on the same volume, and of all names on a new volume; None where
        it was not run.
    windows
        Windows that the first prompt looked at, zoom-out not counted.
    peak_bytes
        Of the whole process, or None where the system does not tell.
    """

    preparing: float
    first: float
    second: float | None
    all_names: float | None
    windows: int
    peak_bytes: int | None


def run_procedure(
    procedure: Procedure,
    task: Task,
    logits_file: Path | None,
    progress: Callable[[str, float], None],
    *,
    beyond_first: bool,
) -> Timing:
    """Time a procedure in a process of its own.

    Parameters
    ----------
    procedure, task
        What to run on what.
    logits_file
        Where to leave the final logits of the first prompt, or None.
    progress
        Called with what is being done and the fraction of it that is done.
    beyond_first
        Whether to time another prompt, and all names, too.

    Raises
    ------
    SegVolError
        If the process fails; its own sentence where it has one.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(
        target=_child, args=(procedure, task, logits_file, sender, beyond_first)
    )
    process.start()
    sender.close()
    try:
        while True:
            message = receiver.recv()
            if isinstance(message, Timing):
                return message
            if isinstance(message, SegVolError):
                raise message
            progress(*message)
    except EOFError as error:
        raise SegVolError(f"The {procedure} procedure ended without a result.") from error
    finally:
        process.join(timeout=5)
        process.terminate()


def _child(
    procedure: Procedure, task: Task, logits_file: Path | None, out: Connection, beyond_first: bool
) -> None:
    try:
        out.send(_time_procedure(procedure, task, logits_file, out, beyond_first))
    except SegVolError as error:
        out.send(error)
    finally:
        out.close()


def _time_procedure(
    procedure: Procedure, task: Task, logits_file: Path | None, out: Connection, beyond_first: bool
) -> Timing:
    torch.set_num_threads(task.threads)
    canonical = read_volume(task.ct).canonical()
    model = _model(task)
    published = procedure == "published"
    placement: Placement = "lattice" if procedure == "lattice" else "published"

    def look_at_volume() -> Tensor:
        z, y, x = (float(mm) for mm in canonical.spacing_zyx)
        return prepare(canonical.voxels, (z, y, x), model.config).image

    def new_zoom(image: Tensor) -> ZoomOutZoomIn:
        cache_bytes = 0 if published else CACHE_BYTES
        encoder = WindowEncoder(model, image, cache_bytes, kept=kept_type(placement))
        return ZoomOutZoomIn(model, image, encoder, placement)

    with use_published_kernels(model) if published else contextlib.nullcontext():
        start = time.perf_counter()
        image = look_at_volume()
        preparing = time.perf_counter() - start
        zoom = new_zoom(image)
        windows = _answer(zoom, task.names[:1], "first prompt", out, logits_file)
        first = time.perf_counter() - start

        second = together = None
        if beyond_first:
            start = time.perf_counter()
            # The published code keeps nothing from one prompt to the next.
            zoom = new_zoom(image) if published else zoom
            _answer(zoom, task.names[1:2], "next prompt", out)
            second = time.perf_counter() - start

            start = time.perf_counter()
            # The volume before is let go, with its embeddings.
            del zoom, image
            image = look_at_volume()
            batches = [[name] for name in task.names] if published else [task.names]
            for number, names in enumerate(batches):
                what = f"names, {number + 1} of {len(batches)}"
                _answer(new_zoom(image), names, what, out)
            together = time.perf_counter() - start
    return Timing(preparing, first, second, together, windows, _peak_bytes())


def _answer(
    zoom: ZoomOutZoomIn,
    names: Sequence[str],
    what: str,
    out: Connection,
    logits_file: Path | None = None,
) -> int:
    """Segment names; the number of windows that were looked at."""
    nowhere = torch.zeros(0, 3, dtype=torch.long), torch.zeros(0, dtype=torch.long)
    windows = 0
    for step in zoom.run([ImagePrompt(*nowhere, None, name) for name in names]):
        windows += step.stage is Stage.PROGRESS
        out.send((what, step.fraction))
        if step.stage is Stage.FINAL and logits_file is not None:
            torch.save(step.logits, logits_file)
    return windows


def _model(task: Task) -> SegVol:
    if task.weights is not None:
        return load_model(task.weights)
    torch.manual_seed(_SEED)
    return SegVol(task.config).eval()


def _peak_bytes() -> int | None:
    """Largest resident memory of this process so far."""
    if sys.platform == "win32":
        return None
    import resource  # noqa: PLC0415  # Not on Windows.

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
