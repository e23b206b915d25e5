"""Other segments beneath a result, label map by label map, not segment by segment.

Slicer keeps many segments in one label map, so that one look at it tells of all of them. Voxels are
looked at plane by plane: what fits into the processor's cache is several times faster than a copy
of a whole volume.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SegVolLogic.label_boxes import label_boxes
from SegVolLogic.labelmap_layers import SegmentVoxels, segment_ids, segment_voxels
from SegVolLogic.packed_mask import Index, Mask, PackedMask
from SegVolLogic.voxel_change import ExtentMask, VoxelChange


@dataclass(frozen=True, eq=False)
class CoveredLayer:
    """What a mask covers of the segments of one label map.

    Attributes
    ----------
    start_kji
        Index of the first voxel on the segmentation's grid.
    values
        (k, j, i) of the label map.
    mask
        Of the same voxels.
    covered
        Segments that the mask covers, or a part of them, by their label.
    others
        Labels beneath the mask that are not theirs: of the segment itself, or left behind by one
        that was removed.
    """

    start_kji: Index
    values: NDArray[Any]
    mask: Mask
    covered: dict[int, str]
    others: frozenset[int]

    def leave_out_of(self, mask: Mask, start_kji: Index) -> None:
        """Make a mask, which begins at `start_kji`, false where it covers a segment."""
        place = tuple(
            slice(a - first, a - first + size)
            for a, first, size in zip(self.start_kji, start_kji, self.values.shape, strict=True)
        )
        for wanted, values in zip(mask[place], self.values, strict=True):
            taken = values != 0
            for label in self.others:
                taken &= values != label
            np.greater(wanted, taken, out=wanted)

    def removals(self) -> Iterator[VoxelChange]:
        """Changes that take the covered voxels from their segments."""
        labels = self.values * self.mask
        boxes = label_boxes(labels)
        for label, segment_id in self.covered.items():
            box = boxes[label]
            k, j, i = (a + part.start for a, part in zip(self.start_kji, box, strict=True))
            removed = ExtentMask((k, j, i), labels[box] == label)
            planes = removed.planes(removed.start_kji, removed.stop_kji)
            yield VoxelChange.removal(segment_id, PackedMask.of(planes))


def others_under(node: Any, segment_id: str, start_kji: Index, mask: Mask) -> list[CoveredLayer]:
    """Find the segments, but for one, that have voxels where a mask is true.

    Parameters
    ----------
    node
        Segmentation node.
    segment_id
        The segment that is left out.
    start_kji, mask
        The mask and the index of its first voxel on the segmentation's grid.

    Raises
    ------
    SceneError
        As `segment_voxels`.
    """
    layers: dict[str, tuple[SegmentVoxels, dict[int, str]]] = {}
    for other in segment_ids(node):
        if other == segment_id:
            continue
        stored = segment_voxels(node, other)
        if stored.voxels.size:
            # The image itself, not Python's wrapper of it, which another image may be given later.
            key = stored.image.GetAddressAsString("")
            layers.setdefault(key, (stored, {}))[1][stored.label] = other
    found = []
    for stored, owners in layers.values():
        start, values, under = stored.beneath(start_kji, mask)
        labels = _labels(values, under)
        covered = {label: owners[label] for label in owners if label in labels}
        if covered:
            others = frozenset(labels - owners.keys())
            found.append(CoveredLayer(start, values, under, covered, others))
    return found


def _labels(values: NDArray[Any], mask: Mask) -> set[int]:
    """Values, other than 0, where a mask is true."""
    begins = [np.zeros(0, values.dtype)]
    for plane, under in zip(values, mask, strict=True):
        labels = (plane * under).ravel()
        if labels.any():
            begins += [labels[:1], labels[1:][labels[1:] != labels[:-1]]]
    return set(np.unique(np.concatenate(begins)).tolist()) - {0}
