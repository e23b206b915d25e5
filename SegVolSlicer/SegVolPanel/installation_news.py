"""What an installation prints, in one short sentence; all of it is in the log below."""

import re

from slicer.i18n import tr as _

from segvol_core.packages.job import PackageJob

_MEGABYTES = re.compile(r"(\d+) MB so far\.")
_TRYING = "Trying the new packages."


class InstallationNews:
    """How far an installation is."""

    def __init__(self) -> None:
        self._megabytes = 0
        self._trying = False

    def sentence(self, job: PackageJob | None) -> str:
        """What to say of this job now."""
        if job is not None and job.cancelling:
            return _("Cancelling …")
        if job is not None and job.operation == "remove":
            return _("The packages are being removed …")
        if self._trying:
            return _("Trying the new packages …")
        if self._megabytes:
            return _("Installing packages … ({megabytes} MB so far)").format(
                megabytes=self._megabytes
            )
        return _("The packages are being changed …")

    def hear(self, lines: tuple[str, ...]) -> None:
        """Take note of lines that were printed."""
        for line in lines:
            size = _MEGABYTES.fullmatch(line.strip())
            if size is not None:
                self._megabytes = int(size[1])
            self._trying = self._trying or line.strip() == _TRYING

    def forget(self) -> None:
        """Begin anew: nothing is being installed."""
        self._megabytes = 0
        self._trying = False
