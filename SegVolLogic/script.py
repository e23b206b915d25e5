"""SegVol in one call, for Slicer's Python console and for batch work over a scene.

>>> from SegVolLogic.script import running, segment
>>> from SegVolLogic.engines import local_engine
>>> with running(local_engine()) as engine:
...     for volume in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
...         segment(volume, "liver, spleen, left kidney", engine=engine)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from segvol_core.errors import SegVolError
from segvol_core.prompts import Prompts
from SegVolLogic.controller import SegVolController
from SegVolLogic.engine import Engine, EngineState
from SegVolLogic.engines import local_engine
from SegVolLogic.errors import SceneError
from SegVolLogic.events import Event, Said
from SegVolLogic.labelmap_layers import segment_ids, segment_voxels
from SegVolLogic.segments import remove_segment
from SegVolLogic.states import Options
from SegVolLogic.words import tr as _

_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Segmented:
    """Where the segments are: their segmentation, and their IDs in the order of the names."""

    segmentation_node: Any
    segment_ids: tuple[str, ...]


@contextmanager
def running(engine: Engine) -> Iterator[Engine]:
    """Start an engine, and end it afterwards; what is asked for waits until it is ready."""
    engine.start()
    try:
        yield engine
    finally:
        engine.stop()


def segment(
    volume_node: Any,
    prompts: Prompts | str,
    segmentation_node: Any = None,
    *,
    engine: Engine | None = None,
    options: Options | None = None,
    timeout_seconds: float = 600.0,
    while_waiting: Callable[[], None] | None = None,
) -> Segmented:
    """Segment, and return when the segments are in the scene.

    Parameters
    ----------
    volume_node
        The CT, in a scene.
    prompts
        Points and a box in world RAS millimetres, for one new segment; or names, `liver, spleen`,
        for a segment each.
    segmentation_node
        Where the segments go; None for a new segmentation.
    engine
        One that is started; None to start the process of this computer for this call alone, which
        takes some seconds.
    options
        How results are made.
    timeout_seconds
        For all of it.
    while_waiting
        Called again and again, for instance ``slicer.app.processEvents``.

    Returns
    -------
    The segments.

    Raises
    ------
    SegVolError
        If something is wrong with volume, prompts or segmentation, or with the engine. Segments
        that are done stay in the scene then.
    """
    if volume_node is None or volume_node.GetScene() is None:
        raise SceneError(_("Give a volume that is in a scene."))
    if engine is None:
        with running(local_engine()) as own:
            return segment(
                volume_node,
                prompts,
                segmentation_node,
                engine=own,
                options=options,
                timeout_seconds=timeout_seconds,
                while_waiting=while_waiting,
            )
    problems: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, Said) and event.problem:
            problems.append(event.message)

    controller = SegVolController(volume_node.GetScene(), engine, listener=listen, options=options)
    ids: tuple[str, ...] = ()
    try:
        controller.choose_volume(volume_node)
        controller.choose_segmentation(segmentation_node)
        if isinstance(prompts, str):
            ids = controller.segment_names(prompts)
        else:
            controller.choose_segment(None)
            ids = (controller.set_prompts(prompts),)
            controller.run()
        _wait(controller, timeout_seconds, while_waiting or _nothing)
        _raise_if_any(problems)
        return Segmented(controller.state.segmentation_node, ids)
    except BaseException:
        controller.cancel()
        _remove_empty(controller.state.segmentation_node, ids, keep_node=segmentation_node)
        raise
    finally:
        controller.close(stop_engine=False)


def _raise_if_any(problems: list[str]) -> None:
    if problems:
        raise SegVolError(" ".join(dict.fromkeys(problems)))


def _remove_empty(node: Any, ids: tuple[str, ...], keep_node: Any) -> None:
    """Remove those of the segments that got no voxels, and a new segmentation without any."""
    if node is None:
        return
    for segment_id in set(ids) & set(segment_ids(node)):
        if segment_voxels(node, segment_id).mask().empty:
            remove_segment(node, segment_id)
    if node is not keep_node and not segment_ids(node):
        node.GetScene().RemoveNode(node)


def _wait(
    controller: SegVolController, timeout_seconds: float, while_waiting: Callable[[], None]
) -> None:
    end = time.monotonic() + timeout_seconds
    while controller.state.running:
        controller.poll()
        while_waiting()
        state = controller.state
        if state.engine in (EngineState.FAILED, EngineState.OFF) and state.running:
            raise SegVolError(state.message)
        if time.monotonic() > end:
            raise SegVolError(
                _("There was no result within {seconds:g} s.").format(seconds=timeout_seconds)
            )
        time.sleep(_POLL_SECONDS)


def _nothing() -> None:
    """Wait with nothing to do."""
