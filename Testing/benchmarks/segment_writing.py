"""Processor seconds to write a result into a 512 x 512 x 300 segmentation that holds ten segments.

    python Testing/benchmarks/segment_writing.py

Processor time on one thread, so that the work of other programs is hardly counted (they do take
memory bandwidth). The bars, for each of the three policies and for undoing: 0.3 s for a result, and
0.03 s where what changed is a hundredth of the volume. Ends with status 1 if a median misses its
bar. Slicer's own way is timed beside it.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1] / "logic")]

import slicer  # noqa: E402
import slicer.util  # noqa: E402
from mrml_application import MrmlApplication  # noqa: E402
from vtk.util.numpy_support import vtk_to_numpy  # noqa: E402

from SegVolLogic.labelmap_layers import segment_voxels  # noqa: E402
from SegVolLogic.segment_grid import grid_for  # noqa: E402
from SegVolLogic.segment_writer import Overlap, take_back, write_segment  # noqa: E402
from SegVolLogic.segments import add_segment, add_segmentation  # noqa: E402
from SegVolLogic.voxel_change import ExtentMask  # noqa: E402

SHAPE_KJI = (300, 512, 512)
REPEATS = 5


def ellipsoid(shape_kji):
    z, y, x = (np.linspace(-1, 1, n) ** 2 for n in shape_kji)
    return z[:, None, None] + y[:, None] + x < 1


def ten_segments(scene):
    """A segmentation with ten organs of 130 x 95 x 190 voxels beside each other."""
    volume = slicer.util.addVolumeFromArray(np.zeros(SHAPE_KJI, np.int16))
    node = add_segmentation(scene, volume)
    grid = grid_for(node, volume)
    organ = ellipsoid((130, 95, 190))
    for n in range(10):
        place = (10 + (n // 5) * 140, 10 + (n % 5) * 100, 20 + (n % 2) * 200)
        write_segment(node, add_segment(node), grid, ExtentMask(place, organ))
    return node, grid


CASES = {
    # What is there before, the result, the bar in seconds.
    "an organ in a free place": (None, ExtentMask((5, 5, 220), ellipsoid((130, 180, 90))), 0.3),
    "an organ over four others": (None, ExtentMask((60, 60, 60), ellipsoid((180, 200, 300))), 0.3),
    "half the volume over all others": (None, ExtentMask((0, 0, 0), ellipsoid(SHAPE_KJI)), 0.3),
    "a hundredth of the volume changes": (
        ExtentMask((100, 150, 150), np.ones((60, 112, 112), bool)),
        ExtentMask((100, 150, 150), ellipsoid((60, 112, 112))),
        0.03,
    ),
    "the organ by a hundredth more": (
        ExtentMask((60, 60, 60), ellipsoid((180, 200, 300))),
        None,
        0.03,
    ),
}
POLICIES = (Overlap.ALLOW, Overlap.AVOID, Overlap.OVERWRITE)


def grown(mask):
    """A mask with a piece of a hundredth of the volume added to it."""
    voxels = mask.voxels.copy()
    voxels[90:150, 60:172, 0:112] = True
    return ExtentMask(mask.start_kji, voxels)


def seconds(scene, before, after, overlap):
    """Median times of writing and of undoing."""
    written, undone = [], []
    node, grid = ten_segments(scene)
    for _ in range(REPEATS):
        segment = add_segment(node)
        if before is not None:
            write_segment(node, segment, grid, before, overlap=overlap)
        started = time.process_time()
        changes = write_segment(node, segment, grid, after, overlap=overlap)
        written.append(time.process_time() - started)
        assert segment_voxels(node, segment).mask().voxels.any()
        started = time.process_time()
        take_back(node, changes)
        undone.append(time.process_time() - started)
        node.RemoveSegment(segment)
    scene.Clear(0)
    return statistics.median(written), statistics.median(undone)


def slicers_seconds(scene, after):
    """Median time of Slicer's own function, which adds voxels only."""
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    times = []
    node, _ = ten_segments(scene)
    for _ in range(REPEATS):
        segment = add_segment(node)
        image = slicer.vtkOrientedImageData()
        k, j, i = after.start_kji
        depth, height, width = after.voxels.shape
        image.SetExtent(i, i + width - 1, j, j + height - 1, k, k + depth - 1)
        image.AllocateScalars(3, 1)
        vtk_to_numpy(image.GetPointData().GetScalars())[:] = after.voxels.ravel()
        started = time.process_time()
        logic.SetBinaryLabelmapToSegment(
            image, node, segment, logic.MODE_MERGE_MASK, image.GetExtent()
        )
        times.append(time.process_time() - started)
        node.RemoveSegment(segment)
    scene.Clear(0)
    return statistics.median(times)


def main():
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        application = MrmlApplication(Path(folder))
        scene = application.scene
        print(f"{'':36}{'allow':>8}{'avoid':>8}{'overwrite':>11}{'undo':>8}{'Slicer':>8}{'bar':>7}")
        for name, (before, result, bar) in CASES.items():
            after = grown(before) if result is None else result
            times = {overlap: seconds(scene, before, after, overlap) for overlap in POLICIES}
            written = [times[each][0] for each in POLICIES]
            undone = max(undoing for _, undoing in times.values())
            late = max(*written, undone) > bar
            missed += late
            print(
                f"{name:36}{written[0]:8.3f}{written[1]:8.3f}{written[2]:11.3f}{undone:8.3f}"
                f"{slicers_seconds(scene, after):8.3f}{bar:7.2f}{'  missed' if late else ''}"
            )
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
