"""Which cases are done: a record is written before its output appears, and says what it must be.

A record alone counts for nothing: the output must be there, byte for byte. So whatever moment the
command is killed at, what is half written is done again.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

from segvol_core.batch.cases import fingerprint
from segvol_core.batch.job import Found, Job, Outcome
from segvol_core.errors import SegVolError

_PIECE = 1024**2
_ADVICE = " Give another --output, or --overwrite to have such files replaced."


class InTheWayError(SegVolError):
    """An output that is there already, and is not what was asked for."""


def write_record(job: Job, outcome: Outcome, finished: Path) -> None:
    """Say what the output will be: the finished file, not yet in its place.

    An output that is to be replaced is removed first, so that it is never taken for the new one.
    """
    job.output.unlink(missing_ok=True)
    content = {
        "settings": job.settings,
        "ct": fingerprint(job.case.ct),
        "output": _checksum(finished),
        "outcome": asdict(outcome),
    }
    unfinished = finished.with_name("record.json")
    unfinished.write_text(json.dumps(content, indent=1), encoding="utf-8")
    job.record.parent.mkdir(parents=True, exist_ok=True)
    unfinished.replace(job.record)


def done_before(job: Job) -> Outcome | None:
    """What came of a job in an earlier run; None if it is still to be done.

    Raises
    ------
    InTheWayError
        If there is an output that is not of this job, and would be lost.
    """
    if not job.output.exists():
        return None
    record = _read(job.record)
    if record is None:
        raise InTheWayError(f"{job.output} exists already and is not of this command.{_ADVICE}")
    if record["output"] != _checksum(job.output):
        raise InTheWayError(f"{job.output} was changed since it was written.{_ADVICE}")
    if record["settings"] != job.settings:
        raise InTheWayError(
            f"{job.output} was made with other names, prompts, weights or windows.{_ADVICE}"
        )
    if record["ct"] != fingerprint(job.case.ct):
        raise InTheWayError(f"{job.output} was made before its CT was changed.{_ADVICE}")
    outcome = record["outcome"]
    found = tuple(Found(**each) for each in outcome["found"])
    warnings = tuple(outcome["warnings"])
    return Outcome(job.case.name, found, outcome["seconds"], warnings, attempts=0)


def _read(record: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _checksum(path: Path) -> str:
    checksum = 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            checksum = zlib.crc32(piece, checksum)
    return f"{path.stat().st_size} bytes, {checksum:08x}"
