"""Tables on stdout: fitted to a terminal, and as wide as they need elsewhere."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

_WITHOUT_A_TERMINAL = 10_000
"""Characters of a line, so that none is broken that a program is to read."""


def print_table(table: Table) -> None:
    """Print a table."""
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = _WITHOUT_A_TERMINAL
    console.print(table)
