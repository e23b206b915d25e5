"""One case as a job of its own, and what came of it: values that go from process to process."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from segvol_core.batch.cases import BatchCase
from segvol_core.batch.wanted import Wanted
from segvol_core.embeddings import Precision
from segvol_core.weights_folder import weights_path
from segvol_core.zoom import Placement


@dataclass(frozen=True)
class Computing:
    """How all cases are computed.

    Attributes
    ----------
    weights, device, windows, precision, cache_bytes
        As of `segvol segment`.
    threads
        Cores that PyTorch uses.
    """

    weights: str
    device: str
    windows: Placement
    precision: Precision
    cache_bytes: int
    threads: int = 1


@dataclass(frozen=True)
class Job:
    """A case, what is asked of it, and where its result goes.

    Attributes
    ----------
    output
        File of the segments.
    record
        File that says that the output is done; see `records`.
    workshop
        Folder for what is not done yet.
    settings
        Changes when another result is asked for; see `settings_of`.
    """

    case: BatchCase
    wanted: tuple[Wanted, ...]
    computing: Computing
    output: Path
    record: Path
    workshop: Path
    settings: str


@dataclass(frozen=True)
class Found:
    """A segment as it was written; of 0 voxels if nothing was found."""

    name: str
    voxels: int
    millilitres: float


@dataclass(frozen=True)
class Outcome:
    """What came of a job.

    Attributes
    ----------
    found
        In the order they were asked for; empty after an error.
    seconds
        From reading to writing.
    warnings
        Sentences for the user.
    error
        Why there is no result; None if there is one.
    again
        Whether it may go better another time.
    attempts
        How often it was tried; 0 if it was done before.
    """

    case: str
    found: tuple[Found, ...] = ()
    seconds: float = 0.0
    warnings: tuple[str, ...] = field(default=())
    error: str | None = None
    again: bool = False
    attempts: int = 1


def settings_of(wanted: tuple[Wanted, ...], computing: Computing) -> str:
    """Digest of all that a result depends on but the CT: prompts, weights, windows, precision.

    Raises
    ------
    WeightsError
        If the weights are not there.
    """
    state = weights_path(computing.weights).stat()
    described = [
        [[each.name, each.prompts.to_dict()] for each in wanted],
        [computing.weights, state.st_size, state.st_mtime_ns],
        [computing.windows, computing.precision],
    ]
    return hashlib.sha256(json.dumps(described).encode()).hexdigest()
