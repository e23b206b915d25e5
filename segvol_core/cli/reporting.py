"""What `segvol evaluate` prints and writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from segvol_core.errors import SegVolError
from segvol_core.evaluation import plots
from segvol_core.evaluation.comparison import comparison_markdown
from segvol_core.evaluation.report import to_markdown
from segvol_core.evaluation.report_files import check_folder, check_report
from segvol_core.evaluation.score_csv import read_scores, to_csv
from segvol_core.evaluation.scoring import Score
from segvol_core.whole_files import write_whole


@dataclass(frozen=True)
class Outputs:
    """Where a report goes, besides the terminal.

    Attributes
    ----------
    csv, markdown
        Files.
    plots
        Folder, made if it is not there.
    compare
        CSV of an earlier run.
    """

    csv: Path | None = None
    markdown: Path | None = None
    plots: Path | None = None
    compare: Path | None = None
    overwrite: bool = False


def check_outputs(outputs: Outputs) -> list[Score] | None:
    """Make sure that everything can be written; returns the earlier run, if one is compared.

    Raises
    ------
    SegVolError
        If something is in the way, matplotlib is missing, or the earlier run cannot be read.
    """
    for path in (outputs.csv, outputs.markdown):
        if path is not None:
            check_report(path, overwrite=outputs.overwrite)
    if outputs.plots is not None:
        plots.check_matplotlib()
        check_folder(outputs.plots, plots.FILES, overwrite=outputs.overwrite)
    return None if outputs.compare is None else read_scores(outputs.compare)


def report(scores: Sequence[Score], outputs: Outputs, earlier: Sequence[Score] | None) -> None:
    """Print the tables and write the files.

    Raises
    ------
    SegVolError
        If the disk refuses.
    """
    if outputs.csv is not None:
        write_whole(outputs.csv, to_csv(scores))
    tables = to_markdown(scores)
    if earlier is not None and outputs.compare is not None:
        tables += "\n" + comparison_markdown(earlier, scores, outputs.compare.name)
    typer.echo(tables, nl=False)
    if outputs.markdown is not None:
        write_whole(outputs.markdown, tables)
    if outputs.plots is not None:
        _write_plots(scores, outputs.plots)


def _write_plots(scores: Sequence[Score], folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise SegVolError(f"The folder {folder} cannot be made: {error.strerror}.") from error
    for name, picture in plots.plots(scores).items():
        write_whole(folder / name, picture)
