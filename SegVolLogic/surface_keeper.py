"""Surfaces kept true to the voxels, one at a time, and those that segments had before.

Slicer takes 0.3 s for the surface of a liver, and the window stands still meanwhile: an undo takes
the earlier surface in place of having it made again.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Container, Iterable
from typing import Any

import numpy as np
import slicer

from SegVolLogic.labelmap_layers import segment_ids, segment_voxels
from SegVolLogic.surfaces import CLOSED_SURFACE, surfaces_shown, update_surfaces

DEFAULT_BUDGET_BYTES = 256 * 1024**2
"""Room for over twenty surfaces of the size of a liver's."""


class SurfaceKeeper:
    """Closed surfaces of one segmentation, while they are shown.

    Parameters
    ----------
    budget_bytes
        Surfaces that were not used for longest are forgotten when all take more.
    """

    def __init__(self, budget_bytes: int = DEFAULT_BUDGET_BYTES) -> None:
        self._budget = budget_bytes
        self._kept: OrderedDict[bytes, Any] = OrderedDict()
        self._outdated: dict[str, None] = {}

    def remember(self, node: Any, segment_ids: Iterable[str]) -> None:
        """Keep the surfaces of segments whose voxels are about to change.

        Raises
        ------
        SceneError
            If the segmentation cannot be read.
        """
        if not surfaces_shown(node):
            return
        for segment_id in segment_ids:
            segment = node.GetSegmentation().GetSegment(segment_id)
            surface = None if segment is None else segment.GetRepresentation(CLOSED_SURFACE)
            if surface is not None and segment_id not in self._outdated:
                self._keep(_state(node, segment_id), surface)

    def outdate(self, node: Any, segment_ids: Iterable[str]) -> None:
        """Note that the voxels of segments have changed."""
        if surfaces_shown(node):
            self._outdated.update(dict.fromkeys(segment_ids))

    @property
    def up_to_date(self) -> bool:
        """Whether there is nothing for `catch_up` to do."""
        return not self._outdated

    def catch_up(self, node: Any, *, not_yet: Container[str] = ()) -> None:
        """Bring the surface of one changed segment up to date, if surfaces are shown.

        Parameters
        ----------
        node
            Segmentation node.
        not_yet
            Segments that are about to change again.

        Raises
        ------
        SceneError
            If the segmentation cannot be read, or Slicer cannot make the surface.
        """
        shown = set(segment_ids(node)) if surfaces_shown(node) else set()
        self._outdated = {each: None for each in self._outdated if each in shown}
        segment_id = next((each for each in self._outdated if each not in not_yet), None)
        if segment_id is not None:
            del self._outdated[segment_id]
            self._bring_up_to_date(node, segment_id)

    def forget(self) -> None:
        """Forget all: another segmentation is worked on."""
        self._kept.clear()
        self._outdated.clear()

    def _bring_up_to_date(self, node: Any, segment_id: str) -> None:
        earlier = self._kept.get(_state(node, segment_id))
        if earlier is None:
            update_surfaces(node, [segment_id])
            return
        segmentation = node.GetSegmentation()
        segmentation.GetSegment(segment_id).AddRepresentation(CLOSED_SURFACE, _copy(earlier))
        segmentation.InvokeEvent(slicer.vtkSegmentation.RepresentationModified)

    def _keep(self, state: bytes, surface: Any) -> None:
        self._kept[state] = _copy(surface)
        self._kept.move_to_end(state)
        sizes = [each.GetActualMemorySize() * 1024 for each in self._kept.values()]
        while sum(sizes) > self._budget:
            self._kept.popitem(last=False)
            sizes.pop(0)


def _state(node: Any, segment_id: str) -> bytes:
    """A number that tells a segment's voxels, and how surfaces are made, from all others."""
    segmentation = node.GetSegmentation()
    mask = segment_voxels(node, segment_id).mask()
    state = hashlib.blake2b(np.packbits(mask.voxels).tobytes(), digest_size=16)
    settings = segmentation.SerializeAllConversionParameters()
    state.update(repr((segment_id, mask.start_kji, mask.voxels.shape, settings)).encode())
    return state.digest()


def _copy(surface: Any) -> Any:
    """Return the same surface in an object of its own, in which Slicer may write another one."""
    copy = surface.NewInstance()
    copy.ShallowCopy(surface)
    return copy
