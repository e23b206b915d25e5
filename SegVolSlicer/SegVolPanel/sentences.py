"""What the status line says in each state: what is done, or what is missing and what to click."""

from dataclasses import dataclass

from slicer.i18n import tr as _

from SegVolLogic.states import MESSAGES, ControllerState, Phase
from SegVolPanel.engine_choice import Missing


@dataclass(frozen=True)
class Circumstances:
    """What the panel knows besides the controller's state.

    Attributes
    ----------
    missing
        What has to be there before the engine can start.
    downloading
        What is being downloaded; or empty.
    installing
        How far an installation is; or empty.
    placing
        Whether a click in a view is a prompt.
    any_volume
        Whether there is a volume in the scene.
    auto_run
        Whether prompts run by themselves.
    hidden_behind
        Name of the volume that all views show in place of the chosen one; or empty.
    """

    missing: tuple[Missing, ...] = ()
    downloading: str = ""
    installing: str = ""
    placing: bool = False
    any_volume: bool = True
    auto_run: bool = True
    hidden_behind: str = ""


@dataclass(frozen=True)
class Sentence:
    """What is said.

    Attributes
    ----------
    text
        For the user.
    problem
        Whether it is in the way.
    button
        Text of a button beside it; None for none.
    button_does
        ``start``: start the engine, asking for what is missing; ``engine``: open its section;
        ``show volume``: let the views show the chosen volume.
    """

    text: str
    problem: bool = False
    button: str | None = None
    button_does: str = "start"


def sentence_of(state: ControllerState, circumstances: Circumstances) -> Sentence:
    """Return what to say now."""
    if circumstances.downloading and not state.running:
        return Sentence(circumstances.downloading)
    return _SAYS.get(state.phase, _message)(state, circumstances)


def _message(state: ControllerState, _circumstances: Circumstances) -> Sentence:
    return Sentence(state.message)


def _no_volume(_state: ControllerState, circumstances: Circumstances) -> Sentence:
    if circumstances.any_volume:
        return Sentence(_("Choose a CT volume."))
    return Sentence(
        _(
            "Load a CT first: drag its files into Slicer, or use Add Data or DICOM. To try SegVol, "
            "take SegVolDemoCT from Sample Data."
        )
    )


def _volume_refused(state: ControllerState, _circumstances: Circumstances) -> Sentence:
    return Sentence(state.message, problem=True)


def _installing(_state: ControllerState, circumstances: Circumstances) -> Sentence:
    return Sentence(circumstances.installing)


def _failed(state: ControllerState, _circumstances: Circumstances) -> Sentence:
    return Sentence(state.message, problem=True, button=_("Start again"))


def _starting(state: ControllerState, _circumstances: Circumstances) -> Sentence:
    if state.running:
        return Sentence(_("The engine is starting; what you gave it is computed next."))
    return Sentence(_("The engine is starting. You can click, draw a box or type a name already."))


def _uploading(state: ControllerState, _circumstances: Circumstances) -> Sentence:
    percent = 0 if state.progress is None else round(100 * state.progress)
    return Sentence(_("The CT is being sent to the engine: {percent} %.").format(percent=percent))


def _running(state: ControllerState, _circumstances: Circumstances) -> Sentence:
    return Sentence(_("Computing {names} …").format(names=_names(state)))


def _without_engine(state: ControllerState, circumstances: Circumstances) -> Sentence:
    missing = circumstances.missing
    if Missing.ADDRESS in missing:
        return Sentence(
            _("Enter the address of the server under Engine."),
            button=_("Engine"),
            button_does="engine",
        )
    if Missing.WEIGHTS_FILE in missing:
        return Sentence(
            _("Choose a file of weights under Engine."), button=_("Engine"), button_does="engine"
        )
    if Missing.PACKAGES in missing:
        text = _("Packages have to be installed before anything is computed: click Install.")
        if state.running:
            text = _("What you gave waits: packages have to be installed first. Click Install.")
        return Sentence(text, button=_("Install…"))
    if Missing.WEIGHTS in missing:
        return Sentence(
            _("The published weights are not on this computer: click Download."),
            button=_("Download…"),
        )
    return Sentence(
        _("The engine is off: click Start, or give a click, a box or a name."), button=_("Start")
    )


def _ready(state: ControllerState, circumstances: Circumstances) -> Sentence:
    if state.message != MESSAGES[Phase.READY]:
        return Sentence(state.message, problem=True)
    if circumstances.hidden_behind:
        volume, other = state.volume_node.GetName(), circumstances.hidden_behind
        text = (
            _("The views show another volume of the name “{volume}” than SegVol works on.")
            if other == volume
            else _("The views show “{other}”, but SegVol works on “{volume}”.")
        ).format(other=other, volume=volume)
        return Sentence(text, problem=True, button=_("Show it"), button_does="show volume")
    if circumstances.placing:
        return Sentence(_("Click in a slice; press the button again to stop clicking."))
    if state.has_prompts and not (circumstances.auto_run and state.has_result):
        return Sentence(_("Click Run to compute the segment, or click and type on."))
    if state.has_prompts:
        return Sentence(_("Refine it with more clicks or a box, or click Next segment."))
    return Sentence(state.message)


def _names(state: ControllerState) -> str:
    if state.segmentation_node is None:
        return ""
    segmentation = state.segmentation_node.GetSegmentation()
    segments = filter(None, map(segmentation.GetSegment, state.running))
    return ", ".join(str(segment.GetName()) for segment in segments)


_SAYS = {
    Phase.NO_VOLUME: _no_volume,
    Phase.VOLUME_REFUSED: _volume_refused,
    Phase.INSTALLING: _installing,
    Phase.ENGINE_OFF: _without_engine,
    Phase.ENGINE_FAILED: _failed,
    Phase.ENGINE_STARTING: _starting,
    Phase.UPLOADING: _uploading,
    Phase.RUNNING: _running,
    Phase.READY: _ready,
}
