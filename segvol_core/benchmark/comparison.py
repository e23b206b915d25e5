"""All procedures on one CT, and how their logits and their times compare."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from segvol_core.benchmark.procedures import Procedure, Task, Timing, run_procedure

Progress = Callable[[Procedure, str, float], None]


@dataclass(frozen=True)
class Agreement:
    """Two masks with the same windows, compared voxel by voxel.

    Attributes
    ----------
    voxels, different
        Of the prepared image, and how many of them are in one mask only.
    largest_logit, largest_unsure
        Largest magnitude of a logit; and of one where the masks differ (0 where none does).
    largest_difference
        Between the two logits of one voxel.
    """

    voxels: int
    different: int
    largest_logit: float
    largest_unsure: float
    largest_difference: float


@dataclass(frozen=True)
class Comparison:
    """Timings of the three procedures and the agreement of the first two.

    Attributes
    ----------
    published_next, published_all_names
        Seconds of the published procedure for another prompt and for all names.
    computed
        True where these two follow from its first prompt, since it does the same work for every
        prompt: the first without preparing, that times the names. False where all were run.
    """

    published: Timing
    same_windows: Timing
    lattice: Timing
    agreement: Agreement
    published_next: float
    published_all_names: float
    computed: bool


def compare(task: Task, progress: Progress, *, run_all_published: bool = False) -> Comparison:
    """Run the published procedure, ours with the same windows, and ours with lattice windows.

    Parameters
    ----------
    task
        The CT, the weights and the names.
    progress
        Called with the procedure, what it is doing, and the fraction of that.
    run_all_published
        Run the published procedure for another prompt and for every name too.

    Raises
    ------
    SegVolError
        If the CT or the weights cannot be used.
    """
    with tempfile.TemporaryDirectory() as folder:
        files = {name: Path(folder) / f"{name}.pt" for name in ("published", "same windows")}

        def timed(procedure: Procedure, *, beyond_first: bool = True) -> Timing:
            return run_procedure(
                procedure,
                task,
                files.get(procedure),
                lambda what, fraction: progress(procedure, what, fraction),
                beyond_first=beyond_first,
            )

        published = timed("published", beyond_first=run_all_published)
        same_windows = timed("same windows", beyond_first=False)
        agreement = _agreement(files["published"], files["same windows"])
    lattice = timed("lattice")
    one_prompt = published.first - published.preparing
    return Comparison(
        published,
        same_windows,
        lattice,
        agreement,
        published.second or one_prompt,
        published.all_names or published.preparing + one_prompt * len(task.names),
        published.second is None,
    )


def _agreement(first_file: Path, second_file: Path) -> Agreement:
    first = torch.load(first_file, weights_only=True)
    second = torch.load(second_file, weights_only=True)
    differ = (first > 0) != (second > 0)
    unsure = first[differ].abs().max() if differ.any() else torch.zeros(())
    return Agreement(
        voxels=first.numel(),
        different=int(differ.sum()),
        largest_logit=float(first.abs().max()),
        largest_unsure=float(unsure),
        largest_difference=float((first - second).abs().max()),
    )
