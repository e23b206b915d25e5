"""What the controller tells whoever listens, from within its methods and never from a thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from SegVolLogic.engine import EngineStage
from SegVolLogic.states import ControllerState


@dataclass(frozen=True)
class StateChanged:
    """There is a new picture of everything."""

    state: ControllerState


@dataclass(frozen=True)
class ResultWritten:
    """A mask was written into a segment: ``COARSE`` for now, or ``FINAL``.

    Attributes
    ----------
    ml
        Volume of the mask in the world.
    """

    segment_id: str
    stage: EngineStage
    ml: float


@dataclass(frozen=True)
class Said:
    """Something that the user should read; `problem` if it is in the way."""

    message: str
    problem: bool = False


@dataclass(frozen=True)
class PrintedLines:
    """Lines of an installation under way."""

    lines: tuple[str, ...]


@dataclass(frozen=True)
class Placed:
    """A prompt was placed in a view, or dragged: `poll` takes it over."""


Event = StateChanged | ResultWritten | Said | PrintedLines | Placed
Listener = Callable[[Event], None]
