"""Slicer's own module Segment Statistics, where there is one: in the desktop application."""

from collections.abc import Callable, Generator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import slicer

from segvol_core.volume import FloatArray
from SegVolLogic.errors import SceneError
from SegVolLogic.words import tr as _

_MODULE = "SegmentStatistics"
_SAME_VOLUME = 1e-4
"""Relative difference of two volumes of a voxel that is rounding."""


def can_measure(segmentation_node: Any, ijk_to_ras: FloatArray) -> bool:
    """Whether the module is there and measures a segmentation rightly.

    It takes the edges' lengths for the volume of a voxel, which is too much where a transform
    shears voxels: 2 to 8 % in our tests.

    Parameters
    ----------
    segmentation_node
        In a scene.
    ijk_to_ras
        4 x 4 matrix from its voxels to the world.
    """
    if find_spec(_MODULE) is None or segmentation_node.GetScene() != slicer.mrmlScene:
        return False
    edges = ijk_to_ras[:3, :3]
    volume = abs(float(np.linalg.det(edges)))
    box = float(np.prod(np.linalg.norm(edges, axis=0)))
    return abs(box - volume) <= _SAME_VOLUME * volume


def measure_in_steps(
    segmentation_node: Any, volume_node: Any, add_table: Callable[[], Any]
) -> Generator[tuple[int, int], None, Any]:
    """Let the module measure all segments, shown or not, one in each step.

    What the user has set in the module's panel stays: the settings for this are a node of their
    own, which is taken out of the scene again.

    Parameters
    ----------
    segmentation_node, volume_node
        In Slicer's scene.
    add_table
        Adds the table node, when all is measured.

    Yields
    ------
    Number of the segment that comes next, from 1, and how many there are.

    Returns
    -------
    The table node.
    """
    scene = segmentation_node.GetScene()
    logic = import_module(_MODULE).SegmentStatisticsLogic()
    settings = scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")
    try:
        settings.HideFromEditorsOn()
        logic.setParameterNode(settings)
        settings.SetParameter("Segmentation", segmentation_node.GetID())
        settings.SetParameter("ScalarVolume", volume_node.GetID())
        settings.SetParameter("visibleSegmentsOnly", "False")
        # Surfaces would have to be made for it first.
        settings.SetParameter("ClosedSurfaceSegmentStatisticsPlugin.enabled", "False")
        if segmentation_node.GetParentTransformNode() is not None:
            # It moves a copy of the whole first.
            yield 1, 1
            logic.computeStatistics()
        else:
            logic.reset()
            segment_ids = list(segmentation_node.GetSegmentation().GetSegmentIDs())
            for number, segment_id in enumerate(segment_ids, 1):
                yield number, len(segment_ids)
                if not all(map(scene.IsNodePresent, (segmentation_node, volume_node, settings))):
                    raise SceneError(_("What was being measured is not in the scene any more."))
                logic.updateStatisticsForSegment(segment_id)
        table = add_table()
        logic.exportToTable(table)
    finally:
        scene.RemoveNode(settings)
    return table
