"""The segment's prompts shown as markups, and what the user does to the markups taken over."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from segvol_core.errors import PromptError, SegVolError
from segvol_core.prompts import Prompts, place
from segvol_core.volume import Volume
from SegVolLogic.announcements import Announcements
from SegVolLogic.errors import SceneError
from SegVolLogic.events import Placed
from SegVolLogic.labelmap_layers import segment_ids
from SegVolLogic.prompt_changes import same_prompts, what_changed
from SegVolLogic.prompt_markups import PromptMarkups
from SegVolLogic.prompt_nodes import PromptNodes
from SegVolLogic.segments import is_begun
from SegVolLogic.workbench import Workbench

DRAWN_AFTER_SECONDS = 0.5
"""Tried in Slicer: 0.3 s after a coarse mask was too early, 0.4 s after a final one was not."""


@dataclass(frozen=True)
class PlacedPrompts:
    """Prompts that the user has placed, now stored in the segment; None if none are left."""

    segment_id: str
    prompts: Prompts | None


class PromptDisplay:
    """Keeps markups and the prompts of the segment being worked on the same.

    Parameters
    ----------
    scene
        Where the markups are, from when they are first needed.
    bench
        Whose segment's prompts are shown.
    announcements
        Told of prompts that cannot be shown or used.
    """

    def __init__(self, scene: Any, bench: Workbench, announcements: Announcements) -> None:
        self._bench = bench
        self._announcements = announcements
        self._markups = PromptMarkups(scene, lambda: announcements.tell(Placed()))
        self._readable = True
        self._shown: Prompts | None = None
        self._drawn_at = 0.0

    @property
    def there(self) -> PromptNodes:
        """The markups that are in the scene by now."""
        return self._markups.there

    def nodes(self) -> PromptNodes:
        """All markups, in the scene."""
        return self._markups.nodes()

    def points(self, *, positive: bool) -> Any:
        """One list of points, in the scene; the other markups follow with the next looks."""
        return self._markups.points(positive=positive)

    def show(self) -> None:
        """Show the segment's prompts; none if they are unreadable, and none are taken over then."""
        try:
            prompts = self._bench.chosen.prompts()
            self._markups.show(prompts)
        except SceneError as error:
            self._readable = False
            self._markups.show(None)
            self._announcements.complain(str(error))
        else:
            self._readable, self._shown = True, prompts
            self._announcements.complaint = ""

    def take_over(self, volume: Volume | None) -> PlacedPrompts | None:
        """Store what was placed, moved or removed since the last look; None if nothing was.

        What cannot be used, such as a point outside the volume, is taken away and said.
        """
        if volume is None or self._markups.dragging:
            return None
        if any(self.there):
            self._markups.add_next()
        if not self._in_step():
            self.show()
        if not self._readable:
            return None
        try:
            before = self._bench.chosen.prompts()
            after = self._markups.read(before)
            if same_prompts(before, after):
                return None
            self._bench.chosen.check_fit()
            if after is not None:
                place(after, volume.canonical())
            segment_id = self._bench.set_prompts(after, what_changed(before, after))
        except SegVolError as error:
            self._refuse(error)
            return None
        self._shown = after
        return PlacedPrompts(segment_id, after)

    def keep_in_front(self, *, busy: bool) -> None:
        """Show prompts over segments that have come since, once all are computed and drawn.

        A segment comes to lie in front with its first mask, and Slicer draws that when it has time.
        """
        if busy:
            self._drawn_at = time.monotonic() + DRAWN_AFTER_SECONDS
        node = self._bench.chosen.segmentation_node
        if node is None or busy or time.monotonic() < self._drawn_at:
            return
        ids = segment_ids(node)
        self._markups.keep_in_front_of(
            frozenset((node.GetID(), each, is_begun(node, each)) for each in ids)
        )

    def close(self) -> None:
        """Take the markups out of the scene."""
        self._markups.close()

    def _in_step(self) -> bool:
        """Whether the segment's prompts are those that were shown last.

        They are not when a transform has moved the segmentation: its prompts went along then, and
        nobody has moved a point.
        """
        try:
            return self._readable and same_prompts(self._bench.chosen.prompts(), self._shown)
        except SceneError:
            return False

    def _refuse(self, error: SegVolError) -> None:
        only_negative = isinstance(error, PromptError) and self._markups.only_negative()
        if not only_negative:
            # A stray click is taken away, so that the next one is not refused because of it.
            self.show()
        self._announcements.complain(str(error))
