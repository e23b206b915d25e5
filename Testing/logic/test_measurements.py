"""What segments measure is what Slicer says that they measure."""

import numpy as np
import pytest
from scenes import SHAPE_KJI, TRANSFORMS, add_volume, block, put_under

from SegVolLogic.measurements import measure
from SegVolLogic.segment_grid import grid_for
from SegVolLogic.segment_writer import write_segment
from SegVolLogic.segments import add_segment, add_segmentation
from SegVolLogic.voxel_change import ExtentMask

MASKS = (block((1, 2, 3), (4, 5, 7)), block((0, 0, 0), (2, 2, 2)), np.zeros(SHAPE_KJI, bool))
# Voxels, ml and mean of the masks by the module Segment Statistics of Slicer 5.13 on this scene.
SLICERS = ((36, 0.0648, 128.72222222222223), (8, 0.0144, 137.5), (0, 0.0, None))


@pytest.mark.parametrize("transform", ["no transform", "translated", "rotated"])
@pytest.mark.parametrize("orientation", ["axial", "oblique", "left-handed"])
def test_segments_measure_what_slicers_segment_statistics_says(scene, orientation, transform):
    volume = add_volume(scene, orientation)
    put_under(scene, volume, TRANSFORMS[transform])
    node = add_segmentation(scene, volume)
    for mask in MASKS:
        write_segment(node, add_segment(node), grid_for(node, volume), ExtentMask.of(mask))
    for found, (voxels, volume_ml, mean_hu) in zip(measure(node, volume), SLICERS, strict=True):
        assert found.voxels == voxels
        assert found.volume_ml == pytest.approx(volume_ml)
        assert found.mean_hu == (None if mean_hu is None else pytest.approx(mean_hu))


def test_shear_keeps_the_volume_of_a_voxel(scene):
    """Where Slicer's module says 0.0687 ml."""
    volume = add_volume(scene, "axial")
    put_under(scene, volume, TRANSFORMS["sheared"])
    node = add_segmentation(scene, volume)
    write_segment(node, add_segment(node), grid_for(node, volume), ExtentMask.of(MASKS[0]))
    (found,) = measure(node, volume)
    assert found.volume_ml == pytest.approx(0.0648)
