"""A folder of private packages to try things on, and jobs that change it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from small_wheels import make_wheel
from stand_ins import wait_until

from segvol_core.packages.job import (
    JobRunning,
    JobState,
    PackageJob,
)
from segvol_core.packages.status import PackagesStatus, read_status


@dataclass(frozen=True)
class Place:
    """A folder of private packages, the wheels and the list it is made from."""

    folder: Path
    wheels: Path
    requirements: Path
    python: Path

    def require(self, *requirements: str) -> None:
        self.requirements.write_text("\n".join(["# required", *requirements]))

    def start(self, operation: Any, **options: Any) -> PackageJob:
        return PackageJob(
            operation,
            self.folder,
            self.python,
            **{"wheels": self.wheels, "requirements_file": self.requirements, **options},
        )

    def run(self, operation: Any, **options: Any) -> JobState:
        return end_of(self.start(operation, **options))

    def status(self) -> PackagesStatus:
        return read_status(self.folder, requirements_file=self.requirements)

    def beside(self) -> set[str]:
        """What is in the folder's parent, but for the lock."""
        return {path.name for path in self.folder.parent.iterdir()} - {f"{self.folder.name}.lock"}


def end_of(job: PackageJob, seconds: float = 60.0) -> JobState:
    """How a job ends, with all its lines."""
    lines: list[str] = []

    def ended() -> bool:
        state = job.poll()
        lines.extend(state.lines)
        return not isinstance(state, JobRunning)

    wait_until(ended, seconds)
    return replace(job.poll(), lines=tuple(lines))


def slow_wheel(place: Place) -> None:
    """Require a package that takes its time to load, so that the job is busy meanwhile."""
    make_wheel(place.wheels, "gamma", "1.0", source="import time; time.sleep(60)")
    place.require("gamma")


def wait_for_line(job: PackageJob, line: str) -> None:
    wait_until(lambda: line in job.poll().lines)
