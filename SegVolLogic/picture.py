"""The picture of everything that a panel shows, from the parts of the controller."""

from __future__ import annotations

from dataclasses import dataclass

from segvol_core.prompts import Prompts
from SegVolLogic.engine import EngineState
from SegVolLogic.errors import SceneError
from SegVolLogic.requests import Requests
from SegVolLogic.states import MESSAGES, ControllerState, Phase
from SegVolLogic.volume_watch import VolumeWatch
from SegVolLogic.workbench import Workbench


@dataclass(frozen=True)
class Circumstances:
    """What else there is to know.

    Attributes
    ----------
    installing
        Whether an operation on the packages is under way.
    closed
        Whether everything has ended.
    complaint
        What is in the way, until something else happens; or empty.
    names
        What the segment could be.
    """

    installing: bool
    closed: bool
    complaint: str
    names: tuple[tuple[str, float], ...] = ()


def picture_of(
    bench: Workbench, requests: Requests, watch: VolumeWatch, circumstances: Circumstances
) -> ControllerState:
    """Return the picture of this moment."""
    engine = requests.engine.status
    phase = _phase(requests, watch, circumstances)
    prompts = _prompts(bench)
    says_itself = phase in (Phase.ENGINE_FAILED, Phase.ENGINE_STARTING) and engine.message
    message = engine.message if says_itself else circumstances.complaint
    return ControllerState(
        phase=phase,
        message=message or watch.refusal or MESSAGES[phase],
        progress=requests.progress,
        volume_node=watch.node,
        segmentation_node=bench.chosen.segmentation_node,
        segment_id=bench.chosen.segment_id,
        running=requests.running,
        engine=engine.state,
        has_prompts=prompts is not None,
        has_result=bench.chosen.has_result(),
        can_run=prompts is not None and watch.volume is not None,
        can_cancel=bool(requests.running) or circumstances.installing,
        can_clear=bench.chosen.segment_exists(bench.chosen.segment_id),
        can_start_engine=engine.state in (EngineState.OFF, EngineState.FAILED),
        undo_label=bench.history.undo_label,
        redo_label=bench.history.redo_label,
        names=circumstances.names,
    )


def _phase(requests: Requests, watch: VolumeWatch, circumstances: Circumstances) -> Phase:
    """The first of these that is so."""
    engine = requests.engine.status.state
    phases = {
        Phase.CLOSED: circumstances.closed,
        Phase.INSTALLING: circumstances.installing,
        Phase.NO_VOLUME: watch.node is None,
        Phase.VOLUME_REFUSED: watch.volume is None,
        Phase.ENGINE_OFF: engine is EngineState.OFF,
        Phase.ENGINE_STARTING: engine is EngineState.STARTING,
        Phase.ENGINE_FAILED: engine is EngineState.FAILED,
        Phase.UPLOADING: requests.uploading,
        Phase.RUNNING: bool(requests.running),
        Phase.READY: True,
    }
    return next(phase for phase, is_so in phases.items() if is_so)


def _prompts(bench: Workbench) -> Prompts | None:
    try:
        return bench.chosen.prompts()
    except SceneError:
        return None
