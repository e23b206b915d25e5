"""Processor time of importing, beside that of a few of Python's own modules.

Seconds say more of the machine, and of what else it does, than of what is imported.
"""

import os
import subprocess
import sys

_PLAIN = {name: value for name, value in os.environ.items() if "COVERAGE" not in name}
_OF_PYTHON = "asyncio, http.client, unittest, xml.dom.minidom"
_RUNS = 5


def import_cost(modules: str) -> float:
    """Processor time of importing modules, as a multiple of that of a few of Python's own.

    Both take turns, and the best of several runs counts.
    """
    seconds = [(_seconds(modules), _seconds(_OF_PYTHON)) for _ in range(_RUNS)]
    ours, theirs = (min(each) for each in zip(*seconds, strict=True))
    return ours / theirs


def _seconds(modules: str) -> float:
    code = f"import time; start = time.process_time(); import {modules}; "
    return float(python(code + "print(time.process_time() - start)"))


def python(code: str) -> str:
    """What a new Python, which nothing measures, prints."""
    return subprocess.run(  # noqa: S603  # Our own code.
        [sys.executable, "-c", code], check=True, capture_output=True, encoding="utf-8", env=_PLAIN
    ).stdout
