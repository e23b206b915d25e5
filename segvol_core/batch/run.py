"""The whole of `segvol batch`: find the cases, leave out what is done, run the rest, report."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from segvol_core.batch.cases import BatchCase
from segvol_core.batch.job import Computing, Job, Outcome, settings_of
from segvol_core.batch.records import InTheWayError, done_before
from segvol_core.batch.report import write_report
from segvol_core.batch.running import run_jobs
from segvol_core.batch.wanted import Wanted
from segvol_core.distributed.ray_cluster import ray_cluster, require_ray
from segvol_core.distributed.share import share_of_cluster
from segvol_core.errors import SegVolError

_HIDDEN = ".segvol-batch"


@dataclass(frozen=True)
class Batch:
    """What is asked for.

    Attributes
    ----------
    wanted
        Segments of each case, by its name; a case that is not here is left out.
    output
        Folder of the results; made if it is not there.
    suffix
        Format of the results.
    workers
        Cases at once; by default one for each GPU, or one.
    retries
        How often a case is tried again whose process has died.
    overwrite
        Whether to replace results that are not what is asked for.
    ray_address
        Cluster to join, which must see the same files under the same names; None starts one here.
    """

    cases: Sequence[BatchCase]
    wanted: Mapping[str, tuple[Wanted, ...]]
    output: Path
    suffix: str
    computing: Computing
    workers: int | None = None
    retries: int = 2
    overwrite: bool = False
    ray_address: str | None = None


def run_batch(batch: Batch, on_outcome: Callable[[int, int], None]) -> list[Outcome]:
    """Segment all cases that are not done, and write the report.

    Parameters
    ----------
    on_outcome
        Called with the number of cases that are done and that of all.

    Returns
    -------
    What came of each case, in their order.

    Raises
    ------
    SegVolError
        If Ray is missing, the output cannot be written, another command writes there, or a result
        is in the way.
    """
    require_ray()
    with _output_folder(batch.output) as hidden:
        jobs = [_job(batch, case, hidden) for case in batch.cases if case.name in batch.wanted]
        outcomes = {job.case.name: _before(job, overwrite=batch.overwrite) for job in jobs}
        to_do = [job for job in jobs if outcomes[job.case.name] is None]
        on_outcome(len(jobs) - len(to_do), len(jobs))
        if to_do:
            with ray_cluster(batch.ray_address, cpus=batch.workers, in_memory=False):
                share = share_of_cluster(batch.computing.device, batch.workers)
                for number, outcome in enumerate(
                    run_jobs(_on(share.threads, to_do), share, batch.retries), 1
                ):
                    outcomes[outcome.case] = outcome
                    on_outcome(len(jobs) - len(to_do) + number, len(jobs))
        finished = [each for each in outcomes.values() if each is not None]
        write_report(batch.output, finished)
    return finished


def _job(batch: Batch, case: BatchCase, hidden: Path) -> Job:
    wanted = batch.wanted[case.name]
    return Job(
        case=BatchCase(case.name, case.ct.absolute()),
        wanted=wanted,
        computing=batch.computing,
        output=hidden.parent / f"{case.name}{batch.suffix}",
        record=hidden / "records" / f"{case.name}.json",
        workshop=hidden / "unfinished",
        settings=settings_of(wanted, batch.computing),
    )


def _on(threads: int, jobs: Sequence[Job]) -> list[Job]:
    return [replace(job, computing=replace(job.computing, threads=threads)) for job in jobs]


def _before(job: Job, *, overwrite: bool) -> Outcome | None:
    try:
        return done_before(job)
    except InTheWayError:
        if overwrite:
            return None
        raise


@contextlib.contextmanager
def _output_folder(output: Path) -> Iterator[Path]:
    """Yield the hidden folder in it, which nobody else uses meanwhile."""
    from filelock import FileLock, Timeout  # noqa: PLC0415

    hidden = output.absolute() / _HIDDEN
    try:
        hidden.mkdir(parents=True, exist_ok=True)
        with FileLock(hidden / "lock", timeout=0):
            shutil.rmtree(hidden / "unfinished", ignore_errors=True)
            try:
                yield hidden
            finally:
                shutil.rmtree(hidden / "unfinished", ignore_errors=True)
    except Timeout as error:
        raise SegVolError(f"Another segvol batch is writing to {output}.") from error
    except OSError as error:
        raise SegVolError(f"{output} cannot be written to: {error.strerror}.") from error
