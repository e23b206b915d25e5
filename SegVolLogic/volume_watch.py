"""The chosen volume, and whether it is still what it was."""

from __future__ import annotations

from enum import Enum
from typing import Any

from segvol_core.errors import SegVolError
from segvol_core.volume import Volume
from SegVolLogic.errors import SceneError
from SegVolLogic.volume_node import VolumeState, volume_of, volume_state
from SegVolLogic.words import tr as _


class VolumeNews(Enum):
    """What has become of the volume since the last look."""

    SAME = "same"
    CHANGED = "changed"
    REMOVED = "removed"


class VolumeWatch:
    """A volume node and its voxels, read anew when they or their place change.

    Attributes
    ----------
    node
        As chosen; None for nothing.
    volume
        Its voxels; None if there is nothing, or nothing that can be segmented.
    refusal
        Why it cannot be segmented; empty if it can.
    """

    def __init__(self) -> None:
        self.node: Any = None
        self.volume: Volume | None = None
        self.refusal = ""
        self._state: VolumeState | None = None

    def choose(self, node: Any) -> None:
        """Watch this node, or none."""
        self.node = node
        self.volume = self._state = None
        self.refusal = ""
        if node is not None:
            try:
                self.volume, self._state = volume_of(node), volume_state(node)
            except SegVolError as error:
                self.refusal = str(error)

    def look(self, scene: Any) -> VolumeNews:
        """Read the volume anew if it has changed."""
        if self.node is None:
            return VolumeNews.SAME
        if not scene.IsNodePresent(self.node):
            self.choose(None)
            return VolumeNews.REMOVED
        if self._present_state() == self._state:
            return VolumeNews.SAME
        self.choose(self.node)
        return VolumeNews.CHANGED

    def needed(self) -> Volume:
        """Return the volume's voxels.

        Raises
        ------
        SceneError
            If there are none, with why.
        """
        if self.volume is None:
            raise SceneError(self.refusal or _("Choose a CT volume first."))
        return self.volume

    def _present_state(self) -> VolumeState | None:
        try:
            return volume_state(self.node)
        except SegVolError:
            return None
