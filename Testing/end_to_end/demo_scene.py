"""The whole way, process included: a CT, five segments, a scene file that opens again.

    python Testing/end_to_end/demo_scene.py FOLDER

The demo's CT is fetched into FOLDER (or found there). The inference process of this computer
segments it with the starter: one click, one box, three names. `scene.mrb` is written there. Ends
with status 1 if the scene does not open again as it was saved.
"""

import sys
import time
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1] / "logic")]

import slicer  # noqa: E402
import slicer.util  # noqa: E402
from mrml_application import MrmlApplication  # noqa: E402

from segvol_core.demo.case import fetch_case  # noqa: E402
from segvol_core.evaluation.cases import read_case  # noqa: E402
from segvol_core.evaluation.label_prompts import PromptKind, prompts_from_label  # noqa: E402
from segvol_core.evaluation.metrics import dice  # noqa: E402
from segvol_core.evaluation.structures import Structure  # noqa: E402
from segvol_core.organs import find  # noqa: E402
from segvol_core.volume import Volume  # noqa: E402
from SegVolLogic.controller import SegVolController  # noqa: E402
from SegVolLogic.engine import EngineStage  # noqa: E402
from SegVolLogic.engines import local_engine  # noqa: E402
from SegVolLogic.events import ResultWritten, Said  # noqa: E402
from SegVolLogic.measurements import add_table  # noqa: E402
from SegVolLogic.segment_tags import stored_prompts  # noqa: E402
from SegVolLogic.segments import describe, record_of  # noqa: E402
from SegVolLogic.surfaces import CLOSED_SURFACE, show_surfaces  # noqa: E402
from SegVolLogic.volume_node import volume_of  # noqa: E402

CLICKED, BOXED, NAMED = "kidney_left", "liver", ("spleen", "aorta", "lung_upper_lobe_left")


class Watch:
    """Runs the controller until nothing is left to do, and times what comes."""

    def __init__(self, scene):
        self.controller = SegVolController(
            scene, local_engine("starter", "cpu"), listener=self._hear
        )
        self.coarse = None
        self.longest = 0.0

    def _hear(self, event):
        if isinstance(event, Said):
            print(" ", event.message)
        if isinstance(event, ResultWritten) and event.stage is EngineStage.COARSE:
            self.coarse = self.coarse or time.perf_counter()

    def until(self, what, done):
        self.coarse, started = None, time.perf_counter()
        while not done(self.controller.state):
            before = time.perf_counter()
            self.controller.poll()
            self.longest = max(self.longest, time.perf_counter() - before)
            time.sleep(0.01)
        coarse = "" if self.coarse is None else f", coarse mask after {self.coarse - started:.2f} s"
        print(f"{what}: {time.perf_counter() - started:.2f} s{coarse}")


def load_volume(scene, path):
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "CT")
    storage = scene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
    storage.SetFileName(str(path))
    storage.SetCenterImage(False)
    assert storage.ReadData(node)
    node.SetAndObserveStorageNodeID(storage.GetID())
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(400, 40)
    return node


def segment_all(scene, volume, case):
    """Five segments by a click, a box and three names; their labels by segment ID."""

    def prompts(name, kind):
        label = case.mask(Structure(name, (name,)))
        return prompts_from_label(case.volume, label, name, kind), label

    watch = Watch(scene)
    controller, labels = watch.controller, {}
    controller.choose_volume(volume)
    controller.start_engine()
    watch.until("Process started", lambda state: state.engine.value == "ready")
    watch.until("CT sent", lambda state: state.phase.value == "ready")
    for name, kind in ((CLICKED, PromptKind.POINT), (BOXED, PromptKind.BOX)):
        asked, label = prompts(name, kind)
        controller.choose_segment(None)
        segment = controller.set_prompts(asked)
        watch.until(f"{name} by a {kind.value}", lambda state: not state.running)
        describe(controller.state.segmentation_node, segment, find(name))
        labels[segment] = label
    ids = controller.segment_names(", ".join(find(name).name for name in NAMED))
    watch.until("Three names", lambda state: not state.running)
    for segment, name in zip(ids, NAMED, strict=True):
        labels[segment] = prompts(name, PromptKind.TEXT)[1]
    node = controller.state.segmentation_node
    show_surfaces(node)
    controller.close()
    print(f"Longest poll: {1000 * watch.longest:.0f} ms")
    return node, labels


def compare(node, volume, labels, case):
    """Print Dice of every segment against the CT's own labels, in upright axes.

    Slicer and the core may store the same file in another order.
    """
    ours, theirs = volume_of(volume), case.volume
    for segment, label in labels.items():
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment, volume)
        found, expected = (
            Volume(np.asarray(array, np.uint8), where.ijk_to_ras).canonical().voxels.astype(bool)
            for array, where in ((mask, ours), (label, theirs))
        )
        print(f"  {record_of(node, segment).name:24} Dice {dice(found, expected):.3f}")


def saved(scene, node, volume, path):
    """Save the scene and open it again; what is different in it."""
    before = contents(node, volume)
    for each in (volume, node):
        each.AddDefaultStorageNode()
    assert scene.WriteToMRB(str(path))
    scene.Clear(0)
    assert scene.ReadFromMRB(str(path))
    opened = scene.GetFirstNodeByClass("vtkMRMLSegmentationNode")
    show_surfaces(opened)
    after = contents(opened, scene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode"))
    return [key for key in before if before[key] != after.get(key)]


def contents(node, volume):
    found = {}
    for segment in node.GetSegmentation().GetSegmentIDs():
        record = record_of(node, segment)
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment, volume)
        surface = node.GetSegmentation().GetSegment(segment).GetRepresentation(CLOSED_SURFACE)
        found[segment] = (
            record.name,
            record.terminology,
            np.round(record.color, 3).tolist(),
            stored_prompts(node, segment),
            mask.tobytes(),
            surface.GetNumberOfPoints() > 0,
        )
    return found


def main():
    folder = Path(sys.argv[1])
    files = fetch_case(folder)
    case = read_case(files)
    application = MrmlApplication(folder)
    scene = application.scene
    volume = load_volume(scene, files.image)
    node, labels = segment_all(scene, volume, case)
    compare(node, volume, labels, case)
    table = add_table(node, volume)
    for row in range(table.GetNumberOfRows()):
        print("  " + ", ".join(table.GetCellText(row, column) for column in range(4)))
    different = saved(scene, node, volume, folder / "scene.mrb")
    print("scene.mrb:", f"differs in {different}" if different else "opens as it was saved")
    return int(bool(different))


if __name__ == "__main__":
    sys.exit(main())
