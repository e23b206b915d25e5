"""Which volume and segmentation were worked on, kept in the scene and so in its file."""

from collections.abc import Callable
from typing import Any

import slicer

from SegVolLogic.controller import SegVolController
from SegVolLogic.errors import SceneError

_VOLUME, _SEGMENTATION = "volume", "segmentation"
_FIRST = 100.0
"""Priority of an observer."""


class SceneMemory:
    """The module's parameter node, as Slicer's modules have one.

    Parameters
    ----------
    scene
        The MRML scene.
    controller
        Whose choices are kept.
    on_close
        Called before a scene is closed.
    """

    def __init__(
        self, scene: Any, controller: SegVolController, on_close: Callable[[], None]
    ) -> None:
        self._scene = scene
        self._controller = controller
        self._on_close = on_close
        self._remembered: tuple[str, str] | None = None
        self._is_being_read = False
        self._was_read = False
        self._tags = [
            # Before Slicer's own observers forget what nodes belong to.
            scene.AddObserver(scene.StartCloseEvent, self._scene_closes, _FIRST),
            scene.AddObserver(scene.StartImportEvent, self._scene_begins_to_be_read),
            scene.AddObserver(scene.EndImportEvent, self._scene_read),
        ]

    @property
    def scene_is_changing(self) -> bool:
        """Whether only a part of the scene is there: Slicer lets timers go on meanwhile."""
        return self._is_being_read or bool(self._scene.IsBatchProcessing())

    def remember(self) -> None:
        """Keep what is chosen now; nothing is added to a scene in which nothing was."""
        state = self._controller.state
        chosen = (_id(state.volume_node), _id(state.segmentation_node))
        if chosen == self._remembered:
            return
        node = self._node()
        if node is None:
            if not any(chosen):
                return
            node = slicer.vtkMRMLScriptedModuleNode()
            node.SetSingletonTag("SegVol")
            node.SetName("SegVol")
            node.SetModuleName("SegVol")
            node = self._scene.AddNode(node)
        for role, node_id in zip((_VOLUME, _SEGMENTATION), chosen, strict=True):
            node.SetNodeReferenceID(role, node_id or None)
        self._remembered = chosen

    def recall_if_read(self) -> None:
        """As `recall`, if a scene has been read since; not while Slicer is still at it."""
        if self._was_read:
            self._was_read = False
            self.recall()

    def recall(self) -> None:
        """Choose what was chosen when the scene was saved."""
        node = self._node()
        if node is None:
            return
        volume = node.GetNodeReference(_VOLUME)
        segmentation = node.GetNodeReference(_SEGMENTATION)
        if volume is not None:
            self._controller.choose_volume(volume)
        if segmentation is not None:
            try:
                self._controller.choose_segmentation(segmentation)
            except SceneError:  # said again when something is to be written into it
                return

    def close(self) -> None:
        """Watch the scene no more."""
        for tag in self._tags:
            self._scene.RemoveObserver(tag)
        self._tags.clear()

    def _node(self) -> Any:
        return self._scene.GetSingletonNode("SegVol", "vtkMRMLScriptedModuleNode")

    def _scene_closes(self, *_event: Any) -> None:
        self._remembered = None
        self._on_close()

    def _scene_begins_to_be_read(self, *_event: Any) -> None:
        self._is_being_read = True

    def _scene_read(self, *_event: Any) -> None:
        self._is_being_read = False
        self._was_read = True


def _id(node: Any) -> str:
    return "" if node is None or node.GetID() is None else str(node.GetID())
