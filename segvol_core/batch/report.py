"""The report: CSV, one line a segment, and Markdown, one line a case."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from segvol_core.batch.job import Outcome
from segvol_core.whole_files import write_whole

_COLUMNS = ("case", "segment", "found", "millilitres", "voxels", "seconds", "attempts", "note")
TITLES = ("Case", "Found", "ml", "Seconds", "Note")


def to_csv(outcomes: Sequence[Outcome]) -> str:
    """Every segment on a line, and every case without a result on one."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for each in outcomes:
        times = (f"{each.seconds:.2f}", each.attempts, note(each))
        if each.error is not None:
            writer.writerow((each.case, "", "", "", "", *times))
        for segment in each.found:
            found = "yes" if segment.voxels else "no"
            size = (f"{segment.millilitres:.3f}", segment.voxels)
            writer.writerow((each.case, segment.name, found, *size, *times))
    return text.getvalue()


def to_markdown(outcomes: Sequence[Outcome]) -> str:
    """A table, and the sentence of `summary`."""
    lines = [TITLES, tuple("---" for _ in TITLES), *(cells(each) for each in outcomes)]
    rows = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
    return "\n".join([*rows, "", summary(outcomes), ""])


def cells(outcome: Outcome) -> tuple[str, ...]:
    """A case as a line of a table; the columns are `TITLES`."""
    found = [segment for segment in outcome.found if segment.voxels]
    return (
        outcome.case,
        ", ".join(segment.name for segment in found),
        ", ".join(f"{segment.millilitres:.1f}" for segment in found),
        "" if outcome.error else f"{outcome.seconds:.1f}",
        note(outcome),
    )


def note(outcome: Outcome) -> str:
    """Why there is no result, or what else should be known of it."""
    if outcome.error is not None:
        return outcome.error
    missing = [segment.name for segment in outcome.found if not segment.voxels]
    sentences = [f"Not found: {', '.join(missing)}."] if missing else []
    if not outcome.attempts:
        sentences.append("Done before.")
    return " ".join([*sentences, *outcome.warnings])


def summary(outcomes: Sequence[Outcome]) -> str:
    """How many cases are done, were done before, and failed."""
    failed = sum(each.error is not None for each in outcomes)
    before = sum(each.attempts == 0 for each in outcomes)
    done = len(outcomes) - failed - before
    return f"{done} done, {before} done before, {failed} without a result."


def write_report(folder: Path, outcomes: Sequence[Outcome]) -> tuple[Path, Path]:
    """Write `report.csv` and `report.md`, each whole or not at all.

    Raises
    ------
    SegVolError
        If the disk refuses.
    """
    files = folder / "report.csv", folder / "report.md"
    for file, text in zip(files, (to_csv(outcomes), to_markdown(outcomes)), strict=True):
        write_whole(file, text)
    return files
