"""What tests of the panel do again and again, and where they look."""

import slicer
from desk import ORGAN_IJK

from SegVolLogic.segment_tags import stored_prompts


def prompts(desk):
    return stored_prompts(desk.state.segmentation_node, desk.state.segment_id)


def click_organ(desk, volume, ijk=ORGAN_IJK):
    """A segment by one click."""
    if not desk.ui.addButton.checked:
        desk.click(desk.ui.addButton)
    desk.place(volume, ijk)
    desk.panel.poll()
    desk.wait()
    return desk.state.segment_id


def interaction():
    return slicer.mrmlScene.GetNodeByID("vtkMRMLInteractionNodeSingleton")


def in_place_mode():
    return interaction().GetCurrentInteractionMode() == interaction().Place
