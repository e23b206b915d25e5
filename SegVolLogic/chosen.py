"""What is worked on in a scene: a volume, a segmentation, and the segment that prompts go to."""

from __future__ import annotations

from typing import Any

from segvol_core.prompts import Prompts
from SegVolLogic.errors import SceneError
from SegVolLogic.labelmap_layers import segment_ids
from SegVolLogic.segment_grid import checked_segmentation, grid_for
from SegVolLogic.segment_tags import stored_prompts
from SegVolLogic.segments import add_segmentation, is_begun, record_of
from SegVolLogic.words import tr as _


class Chosen:
    """What is worked on; any of it may vanish from the scene at any time.

    Attributes
    ----------
    volume_node, segmentation_node
        None before they are chosen.
    segment_id
        The segment that prompts go to; None before the first prompt.
    """

    def __init__(self, scene: Any) -> None:
        self.volume_node: Any = None
        self.segmentation_node: Any = None
        self.segment_id: str | None = None
        self._scene = scene
        self._known: set[str] = set()

    def choose_segmentation(self, node: Any) -> None:
        """Work on another segmentation.

        Prompts go to its last segment if that has some already. A segment that was made otherwise
        is never replaced by a mere click: it has to be selected for that.

        Raises
        ------
        SceneError
            If SegVol cannot write into it; the one before stays chosen then.
        """
        if node is not None:
            checked_segmentation(node)
        self.segmentation_node = node
        self.note_segments()
        ids = [] if node is None else segment_ids(node)
        last = ids[-1] if ids else None
        has_prompts = last is not None and bool(record_of(node, last).prompts_tag)
        self.segment_id = last if has_prompts else None

    def check_fit(self) -> None:
        """Check that results on the volume can be written into the segmentation, if there is one.

        Raises
        ------
        SceneError
            If not, with what to do.
        """
        if self.segmentation_node is not None:
            grid_for(self.segmentation_node, self.volume_node)

    def needed_segmentation(self) -> Any:
        """Return the segmentation, a new one if there is none, after :meth:`check_fit`.

        Raises
        ------
        SceneError
            If no volume is chosen, or results on it cannot be written into the segmentation.
        """
        if self.volume_node is None:
            raise SceneError(_("Choose a CT volume first."))
        if self.segmentation_node is None:
            self.segmentation_node = add_segmentation(self._scene, self.volume_node)
            self.note_segments()
        self.check_fit()
        return self.segmentation_node

    def segmentation_present(self) -> bool:
        """Whether there is a segmentation, and it is in the scene."""
        node = self.segmentation_node
        return node is not None and bool(self._scene.IsNodePresent(node))

    def segment_exists(self, segment_id: str | None) -> bool:
        """Whether the segmentation has the segment."""
        node = self.segmentation_node
        return node is not None and segment_id in segment_ids(node)

    def needed_segment(self) -> str:
        """Return the segment that prompts go to.

        Raises
        ------
        SceneError
            If there is none.
        """
        if self.segment_id is None or not self.segment_exists(self.segment_id):
            raise SceneError(_("There is no segment yet: a prompt makes one."))
        return self.segment_id

    def prompts(self) -> Prompts | None:
        """Prompts of the segment, in world RAS millimetres.

        Raises
        ------
        SceneError
            If they cannot be read.
        """
        if self.segment_id is None or not self.segment_exists(self.segment_id):
            return None
        return stored_prompts(self.segmentation_node, self.segment_id)

    def has_result(self) -> bool:
        """Whether a mask has been written into the segment, or the user has given it a status."""
        if self.segment_id is None or not self.segment_exists(self.segment_id):
            return False
        return is_begun(self.segmentation_node, self.segment_id)

    def note_segments(self) -> None:
        """Take note of the segments that there are now: these are not news to :meth:`look`."""
        node = self.segmentation_node
        self._known = set() if node is None else set(segment_ids(node))

    def look(self) -> set[str]:
        """Notice what others removed since the last look or note.

        Returns
        -------
        IDs of segments that are gone.
        """
        if self.segmentation_node is not None and not self.segmentation_present():
            self.segmentation_node = None
        known = self._known
        self.note_segments()
        gone = known - self._known
        if self.segmentation_node is None or self.segment_id in gone:
            self.segment_id = None
        return gone
