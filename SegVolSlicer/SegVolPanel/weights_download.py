"""The download of the published weights, as the panel shows it."""

from collections.abc import Callable

import slicer.util
from slicer.i18n import tr as _

from segvol_core.weights_job import (
    WeightsCancelled,
    WeightsDone,
    WeightsFailed,
    WeightsJob,
    WeightsRunning,
)
from SegVolLogic.engines import engine_python, installed_packages

_MEGABYTE = 1_000_000


class WeightsDownload:
    """A download, or none; segmenting goes on meanwhile.

    Parameters
    ----------
    say
        Called with a sentence, and whether it is a problem.
    """

    def __init__(self, say: Callable[[str, bool], None]) -> None:
        self._say = say
        self._job: WeightsJob | None = None
        self._running = WeightsRunning()

    @property
    def running(self) -> bool:
        """Whether it is under way."""
        return self._job is not None

    @property
    def fraction(self) -> float | None:
        """Part that is done, 0 to 1; None where that is not known."""
        return self._running.fraction

    @property
    def message(self) -> str:
        """What is going on."""
        running = self._running
        if running.step == "download":
            return _("Downloading the published weights: {done} of {total} MB.").format(
                done=running.done_bytes // _MEGABYTE, total=running.total_bytes // _MEGABYTE
            )
        if running.step == "check":
            return _("Checking the published weights …")
        return _("Asking for the published weights …")

    def start(self) -> None:
        """Begin, or go on where the last one stopped."""
        if self._job is None:
            self._running = WeightsRunning()
            self._job = WeightsJob(
                engine_python(),
                installed_packages(),
                environment=slicer.util.startupEnvironment(),
            )

    def cancel(self) -> None:
        """Stop; what was fetched is kept."""
        if self._job is not None:
            self._job.cancel()
            self.poll()

    def poll(self) -> None:
        """Look how it is."""
        if self._job is None:
            return
        state = self._job.poll()
        if isinstance(state, WeightsRunning):
            self._running = state
            return
        self._job = None
        if isinstance(state, WeightsDone):
            self._say(_("The published weights are on this computer."), False)
        elif isinstance(state, WeightsFailed):
            self._say(state.message, True)
        elif isinstance(state, WeightsCancelled):
            self._say(_("Stopped. The next download goes on where this one ended."), False)
