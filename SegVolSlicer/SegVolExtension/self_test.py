# ruff: noqa: PT009 - Slicer wants a unittest.TestCase
"""The module's self-test in Slicer: a user's tasks at the panel, with the bundled starter.

Run by "Reload and Test", by ``slicer.testing.runUnitTest`` and by CTest. It needs no internet and
no files: the CT is made here. It installs nothing either. Where the packages of the inference
process are missing there is nothing to compute with: what remains then is that the panel says so,
and the other tests are skipped aloud.
"""

import os
import signal
import tempfile
import time
import unittest
from pathlib import Path

import numpy as np
import slicer
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleTest

from SegVolExtension.phantom import LARGE, SMALL, SPACING_MM, phantom

_PATIENCE_SECONDS = 120.0
_POLL_SECONDS = 0.01


class SegVolTest(ScriptedLoadableModuleTest):
    """From an empty scene to segments, through the buttons of the panel."""

    def setUp(self):
        """Open the module on a CT, alone in the scene, with the starter on this computer."""
        slicer.mrmlScene.Clear()
        slicer.util.selectModule("SegVol")
        self.panel = slicer.modules.segvol.widgetRepresentation().self().panel
        self.ui = self.panel.ui
        self.boxes = (self.ui.placeBox, self.ui.weightsBox)
        self.chosen_before = [box.currentIndex for box in self.boxes]
        for box in self.boxes:
            box.setCurrentIndex(0)
        self.panel.poll()
        self.has_packages = not self._lacks_packages()
        self.ct = self._add_ct()

    def tearDown(self):
        """Leave an empty scene, and what the user had chosen."""
        self.panel.controller.cancel()
        self.ui.nameEdit.setText("")
        slicer.mrmlScene.Clear()
        for box, index in zip(self.boxes, self.chosen_before, strict=True):
            box.setCurrentIndex(index)

    def runTest(self, **_options):  # noqa: N802 - Slicer's name
        """Run all of it in the running Slicer."""
        for name in self.moduleTestNames:
            self.delayDisplay(name.replace("_", " "))
            self.setUp()
            try:
                getattr(self, name)()
            except unittest.SkipTest as reason:
                print(f"{name} was skipped: {reason}")  # noqa: T201
            finally:
                self.tearDown()

    # The tasks

    def test_the_panel_says_what_to_do(self):
        """With a CT it says what comes next; without packages, what to install."""
        if self.has_packages:
            self._until(lambda: self._state.phase.value == "ready")
            self.assertTrue(self.ui.addButton.enabled)
        else:
            self.assertTrue(self.ui.statusButton.visible)
        self.assertTrue(self._said)

    def test_a_click_gives_a_segment_where_it_was(self):
        """The first task of the tutorial: Click +, and a click."""
        self._needs_packages()
        self._click(LARGE)
        self._until_computed()
        self._expect_segment_at(LARGE)

    def test_a_box_gives_the_segment_in_it(self):
        """Box, dragged round the small organ."""
        self._needs_packages()
        self._draw_box(SMALL)
        self._until_computed()
        self._expect_segment_at(SMALL)

    def test_names_give_a_segment_each(self):
        """Two names typed with a comma between them; an unknown one changes nothing."""
        self._needs_packages()
        self._type("liver, spleen")
        self._until_computed()
        self.assertEqual(self._names, ["Liver", "Spleen"])
        self._type("livr")
        self.assertEqual(self._names, ["Liver", "Spleen"])
        self.assertIn("livr", self._said)

    def test_refining_can_be_undone_and_done_again(self):
        """A second click, undone, done again."""
        self._needs_packages()
        self._click(LARGE)
        self._until_computed()
        first = self._mask()
        self._click(LARGE, from_middle_mm=(0.0, 20.0, 16.0))
        self._until_computed()
        second = self._mask()
        self.ui.undoButton.click()
        np.testing.assert_array_equal(self._mask(), first)
        self.ui.redoButton.click()
        np.testing.assert_array_equal(self._mask(), second)

    def test_the_next_segment_leaves_the_first_as_it_was(self):
        """Next segment, and a click elsewhere."""
        self._needs_packages()
        self._click(LARGE)
        self._until_computed()
        first, first_id = self._mask(), self._state.segment_id
        self.ui.nextButton.click()
        self._click(SMALL)
        self._until_computed()
        self.assertNotEqual(self._state.segment_id, first_id)
        self._expect_segment_at(SMALL)
        np.testing.assert_array_equal(self._mask(first_id), first)

    def test_a_saved_scene_is_gone_on_with(self):
        """Save, close, load, select the segment, and click once more."""
        self._needs_packages()
        self._click(LARGE)
        self._until_computed()
        saved = self._mask()
        with tempfile.TemporaryDirectory(prefix="segvol-self-test-") as folder:
            file = str(Path(folder) / "scene.mrb")
            self.assertTrue(slicer.util.saveScene(file))
            slicer.mrmlScene.Clear()
            slicer.util.loadScene(file)
        self._events()
        self.ct = slicer.util.getNode(self.ct_name)
        self._until(lambda: self._state.volume_node is self.ct and self.ui.addButton.enabled)
        (segment_id,) = self._state.segmentation_node.GetSegmentation().GetSegmentIDs()
        self.ui.segmentsTable.setSelectedSegmentIDs([segment_id])
        self._until(lambda: self._state.segment_id == segment_id)
        np.testing.assert_array_equal(self._mask(), saved)
        points = self.panel.controller.prompt_nodes.positive
        self.assertEqual(points.GetNumberOfControlPoints(), 1)
        self._click(LARGE, from_middle_mm=(0.0, 20.0, 16.0))
        self._until_computed()
        self._expect_segment_at(LARGE)

    def test_a_killed_process_costs_no_prompt(self):
        """The inference process dies; what was asked for is computed all the same."""
        self._needs_packages()
        self._click(LARGE)
        self._until_computed()
        first, first_id = self._mask(), self._state.segment_id
        self.ui.nextButton.click()
        os.kill(self._process_id(), signal.SIGTERM)
        self._click(SMALL)
        self._until_computed()
        self._expect_segment_at(SMALL)
        np.testing.assert_array_equal(self._mask(first_id), first)

    # What a user does

    def _add_ct(self):
        left_posterior = np.diag([-SPACING_MM[0], -SPACING_MM[1], SPACING_MM[2], 1.0])
        self.ct_name = "SegVol self-test"
        node = slicer.util.addVolumeFromArray(phantom(), left_posterior, self.ct_name)
        slicer.util.setSliceViewerLayers(background=node, fit=True)
        self.ui.volumeSelector.setCurrentNode(node)
        self._until(lambda: self._state.volume_node is node and self.ui.addButton.enabled)
        return node

    def _click(self, organ, from_middle_mm=(0.0, 0.0, 0.0)):
        """Switch Click + on, and place a point where a click in a view would."""
        if not self.ui.addButton.checked:
            self.ui.addButton.click()
        selection = slicer.app.applicationLogic().GetSelectionNode()
        points = slicer.mrmlScene.GetNodeByID(selection.GetActivePlaceNodeID())
        ijk = [
            middle + offset / spacing
            for middle, offset, spacing in zip(
                organ.middle_ijk, from_middle_mm, SPACING_MM, strict=True
            )
        ]
        points.AddControlPointWorld(*self._ras(ijk))
        self._events()

    def _draw_box(self, organ):
        """Switch Box on, and let its corners be round an organ, with a voxel to spare."""
        self.ui.boxButton.click()
        box = self.panel.controller.prompt_nodes.box
        box.SetCenterWorld(self._ras(organ.middle_ijk))
        box.SetSizeWorld(
            [2 * (radius + side) for radius, side in zip(organ.radii_mm, SPACING_MM, strict=True)]
        )
        self._events()

    def _type(self, names):
        self.ui.nameEdit.setText(names)
        self._events()
        self.ui.nameButton.click()
        self._events()

    # What there is

    @property
    def _state(self):
        return self.panel.controller.state

    @property
    def _said(self):
        return self.panel.status.text

    @property
    def _names(self):
        segmentation = self._state.segmentation_node.GetSegmentation()
        return [segmentation.GetSegment(each).GetName() for each in segmentation.GetSegmentIDs()]

    def _mask(self, segment_id=None):
        """A segment's voxels (k, j, i) on the CT."""
        return slicer.util.arrayFromSegmentBinaryLabelmap(
            self._state.segmentation_node, segment_id or self._state.segment_id, self.ct
        ).astype(bool)

    def _expect_segment_at(self, organ):
        """It holds half of the organ at least; how good it is depends on the weights."""
        mask, voxels = self._mask(), organ.voxels()
        self.assertGreater(np.mean(mask[voxels]), 0.5)
        self.assertLess(np.mean(mask), 0.25)

    def _ras(self, ijk):
        matrix = slicer.vtkMRMLSliceNode().GetXYToRAS()  # any vtkMatrix4x4
        self.ct.GetIJKToRASMatrix(matrix)
        return matrix.MultiplyPoint((*ijk, 1.0))[:3]

    def _lacks_packages(self):
        from SegVolPanel.engine_choice import packages_status  # noqa: PLC0415

        return packages_status().state != "ready"

    def _needs_packages(self):
        if not self.has_packages:
            self.skipTest("the packages of the inference process are not installed")

    def _process_id(self):
        """The inference process, by ways that only a test may go."""
        reach = self.panel.controller._requests.engine._reach  # noqa: SLF001
        return reach._server.poll().pid  # noqa: SLF001

    # Waiting

    def _events(self):
        slicer.app.processEvents()
        self.panel.poll()

    def _until_computed(self):
        """Until what was asked for has been answered."""
        self._until(lambda: not self._state.running and self._state.phase.value == "ready")

    def _until(self, condition):
        end = time.monotonic() + _PATIENCE_SECONDS
        while not condition():
            if time.monotonic() > end:
                self.fail(f"Nothing came within {_PATIENCE_SECONDS:g} s; it says: {self._said}")
            self._events()
            time.sleep(_POLL_SECONDS)
