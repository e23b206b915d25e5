"""The processes of a run: this one, several on this computer's CPU, or those of torchrun."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch

from segvol_core.devices import choose_device
from segvol_core.training.checkpoint import find_checkpoint
from segvol_core.training.course import Course, Outcome, follow
from segvol_core.training.results import RESULTS
from segvol_core.training.run_settings import RunSettings, SettingsError
from segvol_core.training.team import Member, is_torchrun, local_rank, this_member, torchrun_team
from segvol_core.training.workers import run_in_workers

PreparedT = TypeVar("PreparedT")
OutcomeT = TypeVar("OutcomeT")


def run(
    settings: RunSettings,
    prepare: Callable[[Member], PreparedT],
    course_of: Callable[[PreparedT, Member, torch.device], Course[Any, Any]],
    *,
    resume: bool,
    overwrite: bool,
) -> Outcome:
    """Prepare a run and follow its course, from the beginning or from where the checkpoint stands.

    Under torchrun this is called in each of its processes.

    Parameters
    ----------
    settings
        Of the run.
    prepare, course_of
        What all processes share, and what one of them makes of it.
    resume
        Go on from the checkpoint.
    overwrite
        Begin anew where a run is already; without either that is an error.

    Raises
    ------
    SegVolError
        If settings, data, weights or the checkpoint cannot be used, or a file cannot be written.
    """
    check_beginning(settings, resume=resume, overwrite=overwrite)

    def work(prepared: PreparedT, member: Member, device: torch.device) -> Outcome:
        return follow(course_of(prepared, member, device), member, resume=resume)

    return launch(settings, prepare, work)


def launch(
    settings: RunSettings,
    prepare: Callable[[Member], PreparedT],
    work: Callable[[PreparedT, Member, torch.device], OutcomeT],
) -> OutcomeT:
    """Prepare and work in as many processes as the settings or torchrun say.

    Processes of this computer's CPU share what one of them has prepared; those of torchrun, each of
    which calls this function, prepare for themselves.

    Returns
    -------
    What ``work`` returns in this process.

    Raises
    ------
    SettingsError
        If there is no such device, or several processes are wanted on another than the CPU.
    """
    torch.set_flush_denormal(True)  # Weights near zero would be computed in a slow mode.
    threads = torch.get_num_threads()
    try:
        if is_torchrun():
            device = _device(settings, local_rank())
            torch.set_num_threads(settings.threads)
            with torchrun_team(device) as member:
                return work(prepare(member), member, device)
        device = _device(settings, 0)
        torch.set_num_threads(settings.threads)
        prepared = prepare(Member(0, 1))
        if settings.processes == 1:
            return work(prepared, Member(0, 1), device)
        outcomes: list[OutcomeT] = []

        def work_in_a_team(_rank: int) -> None:
            outcomes.append(work(prepared, this_member(), device))

        run_in_workers(settings.processes, work_in_a_team)
        return outcomes[0]
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(False)


def check_beginning(settings: RunSettings, *, resume: bool, overwrite: bool) -> None:
    """Make sure, before hours go into reading cases, that a run has where to compute and write.

    The results of an earlier run are only replaced on demand.

    Raises
    ------
    SegVolError
        If there is no such device, nothing to resume, results that are neither to be gone on with
        nor to be replaced, or no folder that can be written to.
    """
    if resume and overwrite:
        raise SettingsError("--resume goes on and --overwrite begins anew: give one of the two.")
    _device(settings, 0)
    if resume:
        find_checkpoint(settings.output)
    _check_writable(settings.output)
    there = [name for name in RESULTS if (settings.output / name).exists()]
    if there and not resume and not overwrite:
        raise SettingsError(
            f"{settings.output} has a training already ({', '.join(there)}): go on with --resume, "
            "or begin anew with --overwrite."
        )


def _check_writable(folder: Path) -> None:
    try:
        there = next(each for each in (folder, *folder.parents) if each.exists())
    except OSError as error:
        raise SettingsError(f"{folder} cannot be written to: {error.strerror}.") from error
    if not there.is_dir():
        raise SettingsError(f"{folder} cannot be written to: {there} is no folder.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise SettingsError(f"{folder} cannot be written to: you may not write into {there}.")


def _device(settings: RunSettings, local: int) -> torch.device:
    device = torch.device(choose_device(settings.device))
    if settings.processes > 1 and device.type != "cpu" and not is_torchrun():
        raise SettingsError("“processes” are for the CPU; for several GPUs, use torchrun.")
    return torch.device("cuda", local) if device.type == "cuda" and is_torchrun() else device
