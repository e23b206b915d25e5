"""The program that downloads the published weights, run in the inference process's Python.

``bootstrap.py PACKAGES segvol_core.weights_program``. It prints a line of JSON about twice a
second, ``{"step": …, "done": …, "total": …}`` in bytes, and last ``{"path": …}`` or
``{"error": …}``.
"""

from __future__ import annotations

import json
import sys
import time

_SECONDS_BETWEEN_LINES = 0.4


def main() -> None:
    """Download, and print what happens."""
    from segvol_core.download import Step, download_segvol  # noqa: PLC0415 - torch, seconds
    from segvol_core.errors import WeightsError  # noqa: PLC0415

    last = 0.0

    def tell(step: Step, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > _SECONDS_BETWEEN_LINES or done == total:
            last = now
            _print({"step": step, "done": done, "total": total})

    try:
        path = download_segvol(progress=tell)
    except WeightsError as error:
        _print({"error": str(error)})
    else:
        _print({"path": str(path)})


def _print(line: dict[str, str | int]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
