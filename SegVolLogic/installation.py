"""An operation on the inference process's packages, followed until it ends."""

from __future__ import annotations

from segvol_core.packages.job import JobCancelled, JobDone, JobFailed, JobRunning, PackageJob
from SegVolLogic.announcements import Announcements
from SegVolLogic.events import PrintedLines
from SegVolLogic.words import tr as _


class Installation:
    """Installing, repairing or removing packages: at most one at a time, often none."""

    def __init__(self, announcements: Announcements) -> None:
        self._announcements = announcements
        self._job: PackageJob | None = None

    @property
    def under_way(self) -> bool:
        """Whether there is one that has not ended."""
        return self._job is not None

    def follow(self, job: PackageJob) -> None:
        """Tell of this operation from now on."""
        self._job = job

    def cancel(self) -> None:
        """End it; `poll` tells when it has ended."""
        if self._job is not None:
            self._job.cancel()

    def poll(self) -> bool:
        """Tell what it has printed, and how it has ended.

        Returns
        -------
        Whether it has ended well since the last poll.
        """
        if self._job is None:
            return False
        state = self._job.poll()
        if state.lines:
            self._announcements.tell(PrintedLines(tuple(state.lines)))
        if isinstance(state, JobRunning):
            return False
        self._job = None
        if isinstance(state, JobDone):
            self._announcements.say(state.message)
        elif isinstance(state, JobFailed):
            self._announcements.complain(state.message)
        elif isinstance(state, JobCancelled):
            self._announcements.say(_("Cancelled. Nothing was changed."))
        return isinstance(state, JobDone)
