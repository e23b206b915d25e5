"""Slicer's place mode: each click in a view puts a point into one of our lists, until it is off."""

from typing import Any


class Placing:
    """Lets clicks place points.

    Slicer's own nodes say what a click does, and its tool bar can change it at any time; so this
    keeps no state but which lists are ours.

    Parameters
    ----------
    scene
        The MRML scene.
    """

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._started_for = ""

    def start(self, node: Any) -> None:
        """Let clicks go to this list of points, one after the other."""
        selection, interaction = self._selection(), self._interaction()
        selection.SetReferenceActivePlaceNodeClassName(node.GetClassName())
        selection.SetActivePlaceNodeID(node.GetID())
        self._started_for = node.GetID()
        interaction.SetPlaceModePersistence(1)
        interaction.SetCurrentInteractionMode(interaction.Place)

    def stop(self, nodes: Any) -> None:
        """Let clicks be clicks again, if they went to one of these lists."""
        if any(self.is_on(node) for node in nodes):
            self._leave()

    def stop_if_gone(self) -> None:
        """Let clicks be clicks again if their list is gone: Slicer would make one of its own."""
        if self._started_for and self._scene.GetNodeByID(self._started_for) is None:
            self._started_for = ""
            self._leave()

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

    def _selection(self) -> Any:
        return self._scene.GetNodeByID("vtkMRMLSelectionNodeSingleton")

    def _interaction(self) -> Any:
        return self._scene.GetNodeByID("vtkMRMLInteractionNodeSingleton")
