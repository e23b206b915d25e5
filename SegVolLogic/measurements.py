"""Volumes and mean values of segments, in a table of the scene.

In the desktop, Slicer's Segment Statistics measures; on slicer-core, which has not got it, what is
here gives the same numbers.
"""

from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import vtk

from SegVolLogic import slicer_statistics
from SegVolLogic.labelmap_layers import segment_ids, segment_of
from SegVolLogic.segment_grid import grid_for
from SegVolLogic.segment_writer import segment_mask
from SegVolLogic.volume_node import volume_of
from SegVolLogic.voxel_change import ExtentMask


@dataclass(frozen=True)
class Measurement:
    """What a segment measures.

    Attributes
    ----------
    name
        Of the segment.
    voxels
        How many it has.
    volume_ml
        In the world, so that a transform that scales counts.
    mean_hu
        Mean value of the volume in it; None for a segment without a voxel in the volume.
    """

    name: str
    voxels: int
    volume_ml: float
    mean_hu: float | None


def measure(segmentation_node: Any, volume_node: Any) -> list[Measurement]:
    """Measure every segment; takes about 0.05 s for each in a large volume.

    Raises
    ------
    SceneError
        If the segmentation is not on the volume's voxels.
    VolumeError
        If the volume's voxels do not span space.
    """
    grid = grid_for(segmentation_node, volume_node)
    volume = volume_of(volume_node)
    measurements = []
    for segment_id in segment_ids(segmentation_node):
        mask = segment_mask(segmentation_node, segment_id, grid)
        count = int(np.count_nonzero(mask.voxels))
        name = str(segment_of(segmentation_node, segment_id).GetName())
        mean = _mean(mask, volume.voxels)
        measurements.append(Measurement(name, count, count * volume.voxel_ml, mean))
    return measurements


def add_table(segmentation_node: Any, volume_node: Any) -> Any:
    """Add a table node with the measurements of all segments to the scene.

    In the desktop, Slicer's Segment Statistics fills it, with more columns than ours.

    Raises
    ------
    SegVolError
        As :func:`measure`.
    """
    steps = table_in_steps(segmentation_node, volume_node)
    while True:
        try:
            next(steps)
        except StopIteration as end:  # noqa: PERF203 - the way to what a generator returns
            return end.value


def table_in_steps(
    segmentation_node: Any, volume_node: Any
) -> Generator[tuple[int, int], None, Any]:
    """As `add_table`, one segment in each step where Slicer measures.

    Yields
    ------
    Number of the segment that comes next, from 1, and how many there are.

    Returns
    -------
    The table node.

    Raises
    ------
    SegVolError
        As :func:`measure`, and if the nodes are removed meanwhile.
    """
    grid_for(segmentation_node, volume_node)
    add_node = partial(
        segmentation_node.GetScene().AddNewNodeByClass,
        "vtkMRMLTableNode",
        f"{segmentation_node.GetName()} volumes",
    )
    if slicer_statistics.can_measure(segmentation_node, volume_of(volume_node).ijk_to_ras):
        return (
            yield from slicer_statistics.measure_in_steps(segmentation_node, volume_node, add_node)
        )
    measurements = measure(segmentation_node, volume_node)
    table = add_node()
    _fill_table(table, measurements)
    return table


def _fill_table(table: Any, measurements: list[Measurement]) -> None:
    names, voxels = vtk.vtkStringArray(), vtk.vtkIdTypeArray()
    volumes, means = vtk.vtkDoubleArray(), vtk.vtkDoubleArray()
    columns = (
        (names, "Segment"),
        (voxels, "Voxels"),
        (volumes, "Volume (ml)"),
        (means, "Mean (HU)"),
    )
    for column, title in columns:
        column.SetName(title)
    for each in measurements:
        names.InsertNextValue(each.name)
        voxels.InsertNextValue(each.voxels)
        volumes.InsertNextValue(each.volume_ml)
        means.InsertNextValue(float("nan") if each.mean_hu is None else each.mean_hu)
    for column, _ in columns:
        table.AddColumn(column)


def _mean(mask: ExtentMask, voxels: Any) -> float | None:
    """Mean of a volume's voxels in a mask, which may reach beyond the volume."""
    start = np.clip(mask.start_kji, 0, voxels.shape)
    stop = np.clip(mask.stop_kji, 0, voxels.shape)
    low, high = (tuple(int(n) for n in corner) for corner in (start, stop))
    inside = mask.within((low[0], low[1], low[2]), (high[0], high[1], high[2]))
    values = voxels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))][inside]
    return float(values.mean(dtype=np.float64)) if values.size else None
