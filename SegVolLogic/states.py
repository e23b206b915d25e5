"""What the panel shows of the controller: one immutable picture of everything."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from SegVolLogic.engine import EngineState
from SegVolLogic.segment_writer import EVERYWHERE, EditableArea, Overlap
from SegVolLogic.words import tr as _


class Phase(Enum):
    """What the controller is doing, or waiting for."""

    NO_VOLUME = "no volume"
    """A volume must be chosen."""
    VOLUME_REFUSED = "volume refused"
    """The chosen volume cannot be segmented; the message says why."""
    INSTALLING = "installing"
    """The inference process's packages are being installed, repaired or removed."""
    ENGINE_OFF = "engine off"
    ENGINE_STARTING = "engine starting"
    ENGINE_FAILED = "engine failed"
    UPLOADING = "uploading"
    READY = "ready"
    """Waiting for a prompt."""
    RUNNING = "running"
    CLOSED = "closed"
    """The application is quitting."""


@dataclass(frozen=True)
class Options:
    """How results are made and where they go.

    Attributes
    ----------
    auto_run
        Run after every change of prompts, or only when told.
    overlap, area
        See `SegVolLogic.segment_writer`.
    keep_largest
        Only the largest connected part of a result.
    show_coarse
        Put the coarse mask into the segment until the final one is there.
    """

    auto_run: bool = True
    overlap: Overlap = Overlap.ALLOW
    area: EditableArea = EVERYWHERE
    keep_largest: bool = False
    show_coarse: bool = True


@dataclass(frozen=True)
class ControllerState:
    """Everything that a panel enables, disables and writes.

    Attributes
    ----------
    phase
        What is going on.
    message
        What it is doing, or what is missing and what to do about it.
    progress
        0 to 1; None where there is none.
    volume_node, segmentation_node
        What was chosen; None for nothing.
    segment_id
        The segment that prompts go to; None before the first prompt.
    running
        Segments that are being computed.
    engine
        State of what computes.
    has_prompts
        Whether the segment has prompts.
    has_result
        Whether a mask has been written into the segment, or the user has given it a status.
    can_run, can_cancel, can_clear, can_start_engine
        Whether these would do something.
    undo_label, redo_label
        What would be undone or done again; None if nothing can be.
    names
        Organs that a segment without a name could be, with probabilities, the best first.
    """

    phase: Phase
    message: str
    progress: float | None
    volume_node: Any
    segmentation_node: Any
    segment_id: str | None
    running: tuple[str, ...]
    engine: EngineState
    has_prompts: bool
    has_result: bool
    can_run: bool
    can_cancel: bool
    can_clear: bool
    can_start_engine: bool
    undo_label: str | None
    redo_label: str | None
    names: tuple[tuple[str, float], ...] = ()


MESSAGES = {
    Phase.NO_VOLUME: _("Choose a CT volume."),
    Phase.VOLUME_REFUSED: _("This volume cannot be segmented."),
    Phase.INSTALLING: _("The packages of the inference process are being installed …"),
    Phase.ENGINE_OFF: _("The inference process is not running: start it."),
    Phase.ENGINE_STARTING: _("The inference process is starting …"),
    Phase.ENGINE_FAILED: _("The inference process has failed: start it again."),
    Phase.UPLOADING: _("The volume is being sent to the inference process …"),
    Phase.READY: _("Click on what you want, draw a box round it, or type its name."),
    Phase.RUNNING: _("Computing …"),
    Phase.CLOSED: "",
}
"""What is said in each phase where there is nothing more particular to say."""
