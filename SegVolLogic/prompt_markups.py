"""The markups that the user places prompts in: added when needed, watched while dragged."""

from __future__ import annotations

from typing import Any

import slicer

from segvol_core.prompts import Prompts
from SegVolLogic.prompt_nodes import PromptNodes, add_prompt_nodes, points_of, prompts_of, show


class PromptMarkups:
    """Prompt nodes of a scene, which may vanish with it at any time and are added again then."""

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._nodes: PromptNodes | None = None
        self._observations: list[tuple[Any, int]] = []
        self._dragged: set[str] = set()

    @property
    def dragging(self) -> bool:
        """Whether the mouse button is down on a point or a handle."""
        return bool(self._dragged) and self._present()

    def nodes(self) -> PromptNodes:
        """The nodes, in the scene."""
        if self._nodes is None or not self._present():
            self._forget()
            self._nodes = add_prompt_nodes(self._scene)
            markups = slicer.vtkMRMLMarkupsNode
            for node in self._nodes:
                for event, handler in (
                    (markups.PointStartInteractionEvent, self._drag_begins),
                    (markups.PointEndInteractionEvent, self._drag_ends),
                ):
                    self._observations.append((node, node.AddObserver(event, handler)))
        return self._nodes

    def read(self, stored: Prompts | None) -> Prompts | None:
        """Prompts of the nodes, with the text of those that are stored.

        Nodes that were removed take no prompt with them: what is stored is shown again.

        Raises
        ------
        SegVolError
            As `prompts_of`.
        """
        if not self._present():
            self.show(stored)
            return stored
        return prompts_of(self.nodes(), None if stored is None else stored.text)

    def show(self, prompts: Prompts | None) -> None:
        """Show prompts in place of what is shown.

        Raises
        ------
        SceneError
            If a node is under a transform that is not linear.
        """
        if prompts is None and not self._present():
            return
        show(prompts, self.nodes())

    def only_negative(self) -> bool:
        """Whether there are negative points and nothing else."""
        nodes = self._nodes
        return (
            nodes is not None and bool(points_of(nodes.negative)) and not points_of(nodes.positive)
        )

    def close(self) -> None:
        """Take the nodes out of the scene."""
        nodes = self._nodes
        self._forget()
        for node in nodes or ():
            if self._scene.IsNodePresent(node):
                self._scene.RemoveNode(node)

    def _present(self) -> bool:
        return self._nodes is not None and all(map(self._scene.IsNodePresent, self._nodes))

    def _forget(self) -> None:
        for node, tag in self._observations:
            node.RemoveObserver(tag)
        for node in self._nodes or ():
            if self._scene.IsNodePresent(node):
                self._scene.RemoveNode(node)
        self._observations.clear()
        self._dragged.clear()
        self._nodes = None

    def _drag_begins(self, caller: Any, _event: str) -> None:
        self._dragged.add(caller.GetID())

    def _drag_ends(self, caller: Any, _event: str) -> None:
        self._dragged.discard(caller.GetID())
