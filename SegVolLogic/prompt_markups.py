"""The markups that the user places prompts in: added when needed, watched while dragged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import slicer

from segvol_core.prompts import Prompts
from SegVolLogic.prompt_nodes import (
    PromptNodes,
    add_box_node,
    add_points_node,
    are_under_the_mouse,
    bring_to_front,
    points_of,
    prompts_of,
    show,
)


class PromptMarkups:
    """Prompt nodes of a scene, which may vanish with it at any time and are added again then.

    Parameters
    ----------
    scene
        Where they are added.
    on_placed
        Called when a point has been placed or a drag has ended, from within Slicer's event.
    """

    def __init__(self, scene: Any, on_placed: Callable[[], None]) -> None:
        self._scene = scene
        self._on_placed = on_placed
        self._nodes = PromptNodes()
        self._observations: list[tuple[Any, int]] = []
        self._dragged: set[str] = set()
        self._behind: dict[Any, frozenset[tuple[str, str, bool]]] = {}

    @property
    def dragging(self) -> bool:
        """Whether the mouse button is down on a point or a handle."""
        return bool(self._dragged) and self._present()

    @property
    def there(self) -> PromptNodes:
        """The nodes that are in the scene by now."""
        return self._nodes if self._present() else PromptNodes()

    def nodes(self) -> PromptNodes:
        """All nodes, in the scene."""
        while self.add_next():
            pass
        return self._nodes

    def points(self, *, positive: bool) -> Any:
        """One list of points; the other nodes are to follow by `add_next`."""
        self._forget_if_gone()
        role = "positive" if positive else "negative"
        if getattr(self._nodes, role) is None:
            self._keep(role, add_points_node(self._scene, positive=positive))
        return getattr(self._nodes, role)

    def add_next(self) -> bool:
        """Add one node that is missing: each takes Slicer's views some 30 ms.

        Returns
        -------
        Whether one was.
        """
        self._forget_if_gone()
        if self._nodes.positive is None:
            self.points(positive=True)
        elif self._nodes.negative is None:
            self.points(positive=False)
        elif self._nodes.box is None:
            self._keep("box", add_box_node(self._scene))
        else:
            return False
        return True

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
        return prompts_of(self._nodes, None if stored is None else stored.text)

    def show(self, prompts: Prompts | None) -> None:
        """Show prompts in place of what is shown.

        Raises
        ------
        SceneError
            If a node is under a transform that is not linear.
        """
        if prompts is not None:
            self.nodes()
        show(prompts, self.there)

    def keep_in_front_of(self, segments: frozenset[tuple[str, str, bool]]) -> None:
        """Have prompts drawn over segments that have come since they were drawn first.

        Not with the mouse on them, nor while it is about to place one.

        Parameters
        ----------
        segments
            IDs of segmentation and segment, and whether it has had a mask.
        """
        if self.dragging or any(map(are_under_the_mouse, self.there)):
            return
        for node in self.there:
            if node.GetNumberOfControlPoints() and segments - self._behind.get(node, frozenset()):
                bring_to_front(node)
                self._behind[node] = segments

    def only_negative(self) -> bool:
        """Whether there are negative points and nothing else."""
        return bool(points_of(self._nodes.negative)) and not points_of(self._nodes.positive)

    def close(self) -> None:
        """Take the nodes out of the scene."""
        for node, tag in self._observations:
            node.RemoveObserver(tag)
        for node in self._nodes:
            if self._scene.IsNodePresent(node):
                self._scene.RemoveNode(node)
        self._observations.clear()
        self._dragged.clear()
        self._behind.clear()
        self._nodes = PromptNodes()

    def _keep(self, role: str, node: Any) -> None:
        markups = slicer.vtkMRMLMarkupsNode
        for event, handler in (
            (markups.PointStartInteractionEvent, self._drag_begins),
            (markups.PointEndInteractionEvent, self._drag_ends),
            (markups.PointPositionDefinedEvent, lambda _caller, _event: self._on_placed()),
        ):
            self._observations.append((node, node.AddObserver(event, handler)))
        self._nodes = replace(self._nodes, **{role: node})

    def _present(self) -> bool:
        """Whether there are nodes, and all of them are in the scene."""
        return any(True for _ in self._nodes) and all(map(self._scene.IsNodePresent, self._nodes))

    def _forget_if_gone(self) -> None:
        if not self._present():
            self.close()

    def _drag_begins(self, caller: Any, _event: str) -> None:
        self._dragged.add(caller.GetID())

    def _drag_ends(self, caller: Any, _event: str) -> None:
        self._dragged.discard(caller.GetID())
        self._on_placed()
