"""What computes masks, as the controller sees it: somewhere else, asked and polled, not waited for.

`ClientEngine` is the real one; tests have one that computes in the same process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from segvol_core.client import RemoteStage
from segvol_core.errors import SegVolError
from segvol_core.prompts import Prompts
from segvol_core.volume import Volume
from SegVolLogic.voxel_change import ExtentMask


class EngineState(Enum):
    """Whether masks can be had."""

    OFF = "off"
    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"
    """It ended, cannot be reached, or refuses; starting it again sends everything once more."""


@dataclass(frozen=True)
class EngineStatus:
    """State of an engine with a sentence for the user, empty if there is nothing to say."""

    state: EngineState
    message: str = ""


EngineStage = RemoteStage
"""What an update brings: the same as the client's updates."""


@dataclass(frozen=True, eq=False)
class EngineUpdate:
    """News of a segment, or of the volume's upload.

    Attributes
    ----------
    stage
        ``COARSE`` and ``FINAL`` bring a mask, ``FAILED`` an error, ``NAMED`` names; nothing more
        than those comes for a segment after ``FINAL`` or ``FAILED``.
    ticket
        Of the request that it answers; 0 for ``UPLOAD``.
    segment_id
        Which segment; empty for ``UPLOAD``.
    fraction
        Part of the work that is done, 0 to 1.
    mask
        On the voxels of the volume.
    message
        A sentence for the user, or empty.
    error
        Why it failed.
    names
        Organs that the final mask could show with their probabilities, the most probable first.
    """

    stage: EngineStage
    ticket: int
    segment_id: str
    fraction: float
    mask: ExtentMask | None = None
    message: str = ""
    error: SegVolError | None = None
    names: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Wish:
    """What is asked of a segment.

    Attributes
    ----------
    keep_largest
        Whether the final mask is to be no more than its largest connected part.
    """

    prompts: Prompts
    keep_largest: bool = False


class Engine(Protocol):
    """What computes masks. Nothing here waits; used from one thread."""

    @property
    def status(self) -> EngineStatus:
        """As of the last poll."""

    def start(self) -> None:
        """Begin, or begin again after a failure; what was asked for and not answered stays so."""

    def stop(self) -> None:
        """End it; what was asked for is forgotten."""

    def use_volume(self, volume: Volume | None) -> None:
        """Work on this volume from now on; what was asked for on another is forgotten."""

    def request(self, wanted: Mapping[str, Wish]) -> int:
        """Ask for segments by their IDs, together; a newer request for one replaces the older.

        Masks of prompts without a name may be followed by names that fit them.

        Returns
        -------
        The request's ticket, above 0 and larger than those before.
        """

    def cancel(self, segment_id: str) -> None:
        """Wait for a segment no longer."""

    def has_news(self) -> bool:
        """Whether `poll` would bring something; may be asked more often than that."""

    def poll(self) -> list[EngineUpdate]:
        """Return what is new."""
