"""What the user has chosen to compute on, and what is missing for it."""

import importlib.metadata
import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import slicer.util
from slicer.i18n import tr as _

from segvol_core.packages.requirements import (
    engine_requirements_file,
    read_requirements,
    required_names,
)
from segvol_core.packages.status import PackagesStatus, read_status
from segvol_core.packages.swap import recover
from segvol_core.user_folders import packages_folder
from segvol_core.weights_folder import SEGVOL, STARTER, segvol_file
from SegVolLogic.client_engine import ClientEngine
from SegVolLogic.engines import local_engine, server_engine


class Place(Enum):
    """Where masks are computed."""

    COMPUTER = "computer"
    SERVER = "server"


class Weights(Enum):
    """What the network has learnt."""

    STARTER = "starter"
    SEGVOL = "segvol"
    FILE = "file"


class Missing(Enum):
    """What has to be there before the engine can start."""

    PACKAGES = "packages"
    WEIGHTS = "weights"
    WEIGHTS_FILE = "weights file"
    ADDRESS = "address"


@dataclass(frozen=True)
class EngineChoice:
    """All that is chosen in the engine section.

    Attributes
    ----------
    place, weights
        See there.
    weights_file
        Path, for `Weights.FILE`.
    device
        As in ``segvol serve``.
    memory_gb
        For volumes and what is computed from them; 0 for half of the computer's.
    url, token, certificate
        Of the server; the certificate is a path, or empty.
    """

    place: Place = Place.COMPUTER
    weights: Weights = Weights.STARTER
    weights_file: str = ""
    device: str = "auto"
    memory_gb: int = 0
    url: str = ""
    token: str = ""
    certificate: str = ""

    def missing(self) -> tuple[Missing, ...]:
        """What is not there yet; takes some milliseconds."""
        if self.place is Place.SERVER:
            return () if self.url.strip() else (Missing.ADDRESS,)
        found = []
        if packages_status().state != "ready":
            found.append(Missing.PACKAGES)
        if self.weights is Weights.SEGVOL and not segvol_file().exists():
            found.append(Missing.WEIGHTS)
        if self.weights is Weights.FILE and not Path(self.weights_file).is_file():
            found.append(Missing.WEIGHTS_FILE)
        return tuple(found)

    def engine(self) -> ClientEngine:
        """Make the engine; it is not started."""
        if self.place is Place.SERVER:
            return server_engine(
                self.url.strip(), self.token.strip(), ca_file=self.certificate or None
            )
        weights = {
            Weights.STARTER: STARTER,
            Weights.SEGVOL: SEGVOL,
            Weights.FILE: self.weights_file,
        }
        return local_engine(
            weights[self.weights],
            self.device,
            memory_mb=self.memory_gb * 1024 or None,
            environment=slicer.util.startupEnvironment(),
        )


def packages_status() -> PackagesStatus:
    """Tell whether the engine has its packages: its own, or those of the Python that it runs in."""
    folder = packages_folder()
    recover(folder)
    status = read_status(folder)
    if status.state == "missing" and _python_has_all():
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        return PackagesStatus(
            "ready", _("Python {version} has all packages.").format(version=version)
        )
    return status


def _python_has_all() -> bool:
    """Whether this Python has everything itself, as in a development environment."""
    names = required_names(read_requirements(engine_requirements_file()))
    return all(any(importlib.metadata.distributions(name=name)) for name in names)
