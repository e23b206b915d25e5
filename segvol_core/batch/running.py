"""Jobs on a Ray cluster: several at once, tried again when their process dies."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from segvol_core.batch.job import Job, Outcome
from segvol_core.distributed.share import Share

_NO_MEMORY = "The memory of the computer does not suffice: the process of this CT was ended."
_DIED = "The process of this CT has died (often for want of memory, or in a damaged file)."


def run_jobs(jobs: Sequence[Job], share: Share, retries: int) -> Iterator[Outcome]:
    """Yield what comes of each job, as it comes.

    Parameters
    ----------
    share
        How many jobs at once, and on what.
    retries
        How often a job is tried again that may go better another time.
    """
    import ray  # noqa: PLC0415

    from segvol_core.batch.segment_case import segment_case  # noqa: PLC0415

    # Ray's own retries are off, so that there is one rule; max_calls 0 keeps a process, with its
    # network, for the next case.
    task = ray.remote(
        num_cpus=0 if share.gpus else 1, num_gpus=share.gpus, max_retries=0, max_calls=0
    )(segment_case)
    waiting = deque((job, 1) for job in jobs)
    running: dict[Any, tuple[Job, int]] = {}
    while waiting or running:
        while waiting and len(running) < share.count:
            job, attempt = waiting.popleft()
            running[task.remote(job)] = (job, attempt)
        (ready,), _ = ray.wait(list(running), num_returns=1)
        job, attempt = running.pop(ready)
        outcome = replace(_outcome(ready, job), attempts=attempt)
        if outcome.again and attempt <= retries:
            waiting.appendleft((job, attempt + 1))
        else:
            yield outcome


def _outcome(ready: Any, job: Job) -> Outcome:
    import ray  # noqa: PLC0415

    outcome = Outcome(job.case.name, again=True)
    try:
        result: Outcome = ray.get(ready)
    except ray.exceptions.OutOfMemoryError:
        return replace(outcome, error=_NO_MEMORY)
    except ray.exceptions.RayError:
        return replace(outcome, error=_DIED)
    return result
