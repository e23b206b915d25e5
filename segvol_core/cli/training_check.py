"""What `segvol train` says: the report on the cases before, and a line now and then."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import typer
from rich.table import Table

from segvol_core.cli.progress import progress_bars, step
from segvol_core.cli.tables import print_table
from segvol_core.model.config import SegVolConfig
from segvol_core.training.data.check import CheckedCase, DataReport, Finding, check_cases, report_on
from segvol_core.training.data.records import CaseRecord, TrainingDataError
from segvol_core.training.preparation import records_of
from segvol_core.training.pretraining import images_of
from segvol_core.training.pretraining_settings import PretrainingSettings
from segvol_core.training.settings import TrainingSettings
from segvol_core.training.start import first_network, network_to_train

_FINDINGS = 20


@dataclass(frozen=True)
class ToCheck:
    """Cases of a training, and the network that is to learn from them, with labels or without."""

    records: Sequence[CaseRecord]
    config: SegVolConfig
    labels: bool = True


def of_training(settings: TrainingSettings) -> ToCheck:
    """What `segvol train` is to learn from."""
    records = records_of(settings.data)
    return ToCheck(records, network_to_train(settings, records).config)


def of_pretraining(settings: PretrainingSettings) -> ToCheck:
    """What `segvol pretrain` is to learn from."""
    return ToCheck(images_of(settings), first_network(settings).config, labels=False)


def check_training_data(look: Callable[[], ToCheck]) -> DataReport:
    """Look at all cases of a training.

    Raises
    ------
    SegVolError
        If the folders, or the weights to start from, cannot be read.
    """
    with progress_bars() as progress:
        with step(progress, "Looking for cases"):
            wanted = look()
        records, config = wanted.records, wanted.config
        bar = progress.add_task("Checking", total=len(records))
        found: list[Finding | CheckedCase] = []
        seen: set[str] = set()
        for each in check_cases(records, config):
            found.append(each)
            seen.add(each.case if isinstance(each, Finding) else each.name)
            progress.update(bar, completed=len(seen))
    return report_on(found, labels=wanted.labels)


def print_report(report: DataReport) -> None:
    """Print figures of the cases and their structures, and all findings."""
    cases = Table(title=f"{len(report.cases)} cases")
    for column in (
        "Case",
        "For",
        "Voxels (z, y, x)",
        "mm (z, y, x)",
        "Axes",
        "Values",
        "Structures",
    ):
        cases.add_column(column)
    for case in report.cases:
        spacing = case.spacing_zyx
        cases.add_row(
            case.name,
            case.split,
            " x ".join(map(str, case.shape_zyx)),
            "not known" if spacing is None else " x ".join(f"{mm:.2f}" for mm in spacing),
            case.orientation or "not known",
            f"{case.lowest:g} to {case.highest:g}",
            f"{sum(count > 0 for count in case.voxels.values())} of {len(case.voxels)}",
        )
    print_table(cases)
    if report.voxels:
        structures = Table(title="Structures")
        for column in ("Structure", "Annotated in", "Shown in", "Voxels, median"):
            structures.add_column(column)
        for name, counts in report.voxels.items():
            shown = sorted(count for count in counts if count)
            middle = str(shown[len(shown) // 2]) if shown else "-"
            structures.add_row(name, str(len(counts)), str(len(shown)), middle)
        print_table(structures)
    for finding in sorted(report.findings, key=lambda each: not each.is_error):
        kind = "Error" if finding.is_error else "Warning"
        typer.echo(f"{kind}, {finding.case}: {finding.message}")
    warnings = len(report.findings) - len(report.errors)
    typer.echo(f"Errors: {len(report.errors)}, warnings: {warnings}.")


def stop_on_errors(look: Callable[[], ToCheck]) -> None:
    """Check the cases; warnings are printed, errors end the training.

    Raises
    ------
    TrainingDataError
        With what is wrong with the first cases.
    """
    report = check_training_data(look)
    for finding in [each for each in report.findings if not each.is_error][:_FINDINGS]:
        typer.echo(f"Warning: {finding.case}: {finding.message}", err=True)
    if report.errors:
        first = report.errors[0]
        more = len(report.errors) - 1
        rest = f" And {more} more." if more else ""
        raise TrainingDataError(f"{first.case}: {first.message}{rest} --check lists all there is.")


@contextmanager
def log_to_stdout(*, enabled: bool) -> Iterator[None]:
    """Print the lines of the training's log while it runs."""
    logger = logging.getLogger("segvol.training")
    if not enabled:
        yield
        return
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
