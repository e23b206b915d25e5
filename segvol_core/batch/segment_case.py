"""The work on one case, in whatever process it is done."""

from __future__ import annotations

import shutil
import tempfile
import time
import warnings
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from segvol_core import organs
from segvol_core.batch.job import Found, Job, Outcome
from segvol_core.batch.records import write_record
from segvol_core.batch.wanted import Wanted
from segvol_core.devices import choose_device
from segvol_core.errors import SegVolError, SegVolWarning
from segvol_core.memory_errors import is_out_of_memory
from segvol_core.model.segvol import SegVol
from segvol_core.segmentation_io import Segment, segment_of_organ, write_segmentation
from segvol_core.session import Session
from segvol_core.volume import Volume
from segvol_core.volume_io import read_volume
from segvol_core.weights import load_model

Mask = NDArray[np.bool_]

_NO_MEMORY = "The memory of the computer or its GPU does not suffice for this CT."


def segment_case(job: Job) -> Outcome:
    """Segment a case and write the result. What goes wrong is in the outcome."""
    outcome = Outcome(job.case.name)
    try:
        return _segmented(job)
    except SegVolError as error:
        return replace(outcome, error=str(error))
    except OSError as error:
        sentence = f"A file cannot be read or written: {error.strerror}."
        return replace(outcome, error=sentence, again=True)
    except Exception as error:  # noqa: BLE001  # One case must not end all others.
        sentence = f"A fault of the program ({type(error).__name__})."
        if is_out_of_memory(error):
            sentence = _NO_MEMORY
        return replace(outcome, error=sentence, again=True)


def _segmented(job: Job) -> Outcome:
    begin = time.perf_counter()
    torch.set_num_threads(job.computing.threads)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SegVolWarning)
        volume = read_volume(job.case.ct)
        masks = _masks(job, volume)
        job.workshop.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=job.workshop))
        try:
            finished = folder / job.output.name
            write_segmentation(finished, volume, [_segment(*each) for each in masks])
            outcome = Outcome(
                job.case.name,
                tuple(_found(volume, *each) for each in masks),
                time.perf_counter() - begin,
                tuple(str(w.message) for w in caught if issubclass(w.category, SegVolWarning)),
            )
            job.output.parent.mkdir(parents=True, exist_ok=True)
            write_record(job, outcome, finished)
            finished.replace(job.output)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return outcome


def _masks(job: Job, volume: Volume) -> list[tuple[Wanted, Mask]]:
    computing = job.computing
    session = Session(
        _model(computing.weights, computing.device),
        volume,
        windows=computing.windows,
        cache_bytes=computing.cache_bytes,
        precision=computing.precision,
    )
    masks = {}
    for update in session.segment_many([each.prompts for each in job.wanted]):
        if update.mask is not None:
            masks[update.index] = update.mask
    return [(each, masks[index]) for index, each in enumerate(job.wanted)]


@lru_cache(maxsize=1)
def _model(weights: str, device: str) -> SegVol:
    """Network that this process keeps from case to case."""
    return load_model(weights, choose_device(device))


def _segment(wanted: Wanted, mask: Mask) -> Segment:
    return segment_of_organ(wanted.name, mask, organs.find_known(wanted.name))


def _found(volume: Volume, wanted: Wanted, mask: Mask) -> Found:
    voxels = int(np.count_nonzero(mask))
    return Found(wanted.name, voxels, voxels * volume.voxel_ml)
