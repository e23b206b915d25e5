"""A comparison as a table and a sentence, or as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.table import Table

from segvol_core.benchmark.comparison import Comparison

_GIB = 1024**3


def as_table(comparison: Comparison, names: int) -> Table:
    """Rows of what was timed; columns published, ours, and how many times faster ours is."""
    published, ours = comparison.published, comparison.lattice
    table = Table("", "published", "SegVol (lattice)", "factor")
    for column in table.columns[1:]:
        column.justify = "right"

    def seconds(label: str, theirs: float, mine: float | None, note: str = "") -> None:
        if mine is not None:
            factor = f"{theirs / mine:.1f} x faster"
            table.add_row(label, f"{theirs:.1f} s{note}", f"{mine:.1f} s", factor)

    note = " (computed)" if comparison.computed else ""
    seconds("first prompt on a volume", published.first, ours.first)
    seconds("next prompt", comparison.published_next, ours.second, note)
    seconds(f"{names} organ names", comparison.published_all_names, ours.all_names, note)
    if published.peak_bytes is not None and ours.peak_bytes is not None:
        table.add_row(
            "peak memory",
            f"{published.peak_bytes / _GIB:.2f} GiB",
            f"{ours.peak_bytes / _GIB:.2f} GiB",
            f"{ours.peak_bytes / published.peak_bytes:.2f} of it",
        )
    table.add_row("windows of the first prompt", str(published.windows), str(ours.windows), "")
    return table


def agreement_sentence(comparison: Comparison) -> str:
    """How the masks of the first two procedures compare, and what the second took."""
    agreement = comparison.agreement
    timing = comparison.same_windows
    equal = (
        f"With the published windows, SegVol takes {timing.first:.1f} s for the first prompt; "
        f"{agreement.different} of {agreement.voxels} voxels differ from the published mask"
    )
    if not agreement.different:
        return f"{equal}."
    return (
        f"{equal}, none with a logit beyond {agreement.largest_unsure:.1e} "
        f"(the largest is {agreement.largest_logit:.1f})."
    )


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Plain values that JSON can hold; seconds and bytes."""
    return asdict(comparison)
