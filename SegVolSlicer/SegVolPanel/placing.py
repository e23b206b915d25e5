"""Slicer's place mode: each click in a view puts a point into one of our lists, until it is off."""

from collections.abc import Iterable
from typing import Any


class Placing:
    """Lets clicks place points.

    Slicer's own nodes say what a click does, and its tool bar can change it at any time; so this
    keeps no state but which list is ours. As that is not saved with the scene, what a click does
    is not saved either meanwhile: a scene would open in place mode, without a list.

    Parameters
    ----------
    scene
        The MRML scene.
    """

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._held = ""

    def start(self, node: Any) -> None:
        """Let clicks go to this list of points, one after the other."""
        selection, interaction = self._selection(), self._interaction()
        selection.SetReferenceActivePlaceNodeClassName(node.GetClassName())
        selection.SetActivePlaceNodeID(node.GetID())
        interaction.SetPlaceModePersistence(1)
        interaction.SetCurrentInteractionMode(interaction.Place)
        self._hold(node)

    def stop(self, nodes: Iterable[Any]) -> None:
        """Let clicks be clicks again, if they went to one of these lists."""
        if any(self.is_on(node) for node in nodes):
            self._leave()

    def look(self, nodes: Iterable[Any]) -> None:
        """Notice that clicks go to another of these lists, elsewhere, or to one that is gone."""
        on = next(filter(self.is_on, nodes), None)
        if on is not None:
            self._hold(on)
        elif self._held and self._scene.GetNodeByID(self._held) is None:
            # Slicer would make a list of its own with the next click.
            self._leave()
        elif self._held:
            self._let_go()

    def is_on(self, node: Any) -> bool:
        """Whether clicks go to this list."""
        selection, interaction = self._selection(), self._interaction()
        if node is None or selection is None or interaction is None:
            return False
        in_place_mode = interaction.GetCurrentInteractionMode() == interaction.Place
        return in_place_mode and selection.GetActivePlaceNodeID() == node.GetID()

    def _leave(self) -> None:
        interaction = self._interaction()
        if interaction is not None:
            interaction.SetPlaceModePersistence(0)
            interaction.SetCurrentInteractionMode(interaction.ViewTransform)
        self._let_go()

    def _hold(self, node: Any) -> None:
        self._held = node.GetID()
        self._interaction().SetSaveWithScene(False)

    def _let_go(self) -> None:
        self._held = ""
        if self._interaction() is not None:
            self._interaction().SetSaveWithScene(True)

    def _selection(self) -> Any:
        return self._scene.GetNodeByID("vtkMRMLSelectionNodeSingleton")

    def _interaction(self) -> Any:
        return self._scene.GetNodeByID("vtkMRMLInteractionNodeSingleton")
