"""Bringing what is missing, one thing after the other, and then starting the engine."""

from collections.abc import Callable
from pathlib import Path

import slicer.util

from segvol_core.packages.job import Operation, PackageJob
from segvol_core.packages.requirements import engine_requirements_file
from segvol_core.user_folders import packages_folder
from SegVolLogic.controller import SegVolController
from SegVolLogic.engines import engine_python
from SegVolLogic.states import Phase
from SegVolPanel.engine_choice import EngineChoice, Missing
from SegVolPanel.weights_download import WeightsDownload


class Preparation:
    """What is being installed and downloaded.

    Parameters
    ----------
    controller
        Follows what is installed, and cancels it.
    download
        Of the published weights.
    choice
        Gives the choice of the moment.
    start
        Starts the engine of that choice.
    """

    def __init__(
        self,
        controller: SegVolController,
        download: WeightsDownload,
        choice: Callable[[], EngineChoice],
        start: Callable[[], None],
    ) -> None:
        self._controller = controller
        self._download = download
        self._choice = choice
        self._start = start
        self._to_do: list[Missing] = []
        self._doing: Missing | None = None
        self._wheels: Path | None = None
        self._then_start = False
        self._job: PackageJob | None = None

    @property
    def busy(self) -> bool:
        """Whether something is under way."""
        return self._doing is not None or bool(self._to_do) or self.changing_packages

    @property
    def changing_packages(self) -> bool:
        """Whether packages are being installed, repaired or removed."""
        return self._controller.state.phase is Phase.INSTALLING

    @property
    def package_job(self) -> PackageJob | None:
        """What is being done to the packages; None for nothing."""
        return self._job if self.changing_packages else None

    def begin(
        self, missing: tuple[Missing, ...], wheels: Path | None, *, then_start: bool = True
    ) -> None:
        """Bring these.

        Parameters
        ----------
        missing
            What, in this order.
        wheels
            Folder of wheels; None for the internet.
        then_start
            Whether to start the engine when all is there.
        """
        if self.busy:
            return
        self._to_do = list(missing)
        self._wheels = wheels
        self._then_start = then_start
        self._next()

    def change_packages(self, operation: Operation) -> None:
        """Install, repair or remove the packages, and nothing else."""
        self._work_on_packages(operation)

    def cancel(self) -> None:
        """Bring no more."""
        self._to_do.clear()
        self._doing = None
        self._download.cancel()

    def poll(self) -> None:
        """Go on when something has ended."""
        self._download.poll()
        if self._doing is Missing.PACKAGES and not self.changing_packages:
            self._ended(well=Missing.PACKAGES not in self._choice().missing())
        elif self._doing is Missing.WEIGHTS and not self._download.running:
            self._ended(well=Missing.WEIGHTS not in self._choice().missing())

    def _ended(self, *, well: bool) -> None:
        self._doing = None
        if well:
            self._next()
        else:
            self._to_do.clear()  # what is wrong has been said by whoever was at work

    def _next(self) -> None:
        if not self._to_do:
            if self._then_start:
                self._start()
            return
        self._doing = self._to_do.pop(0)
        if self._doing is Missing.PACKAGES:
            self._work_on_packages("install")
        elif self._doing is Missing.WEIGHTS:
            self._download.start()

    def _work_on_packages(self, operation: Operation) -> None:
        self._job = PackageJob(
            operation,
            packages_folder(),
            engine_python(),
            wheels=self._wheels if operation in ("install", "repair") else None,
            requirements_file=engine_requirements_file(),
            environment=slicer.util.startupEnvironment(),
        )
        self._controller.install(self._job, then_start=False)
