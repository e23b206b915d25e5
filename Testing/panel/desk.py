"""A user at the panel: the module as Slicer loads it, with volumes, clicks and keys."""

import importlib.util
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import slicer
import slicer.util
from PySide6.QtCore import QEvent, QPoint, QSettings, Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QCheckBox
from scenes import slicers_mask, world_of
from stand_in.application import module_parent

from SegVolLogic.states import Phase

MODULE = Path(__file__).parents[2] / "SegVolSlicer" / "SegVol.py"
PATIENCE_SECONDS = 120.0


def load_module():
    """The entry module, as Slicer loads it: its folder is on the path then."""
    if str(MODULE.parent) not in sys.path:
        sys.path.append(str(MODULE.parent))
    spec = importlib.util.spec_from_file_location("SegVol", MODULE)
    module = importlib.util.module_from_spec(spec)
    sys.modules["SegVol"] = module
    spec.loader.exec_module(module)
    slicer.modules.segvol = SimpleNamespace(path=str(MODULE))
    return module


class Desk:
    """The panel, and shorthand for what a user does."""

    def __init__(self, application, scene, settings):
        self.application = application
        self.scene = scene
        QSettings().clear()
        for name, value in settings.items():
            QSettings().setValue(f"SegVol/{name}", value)
        self.open()

    def open(self, *, reloaded=False):
        """Open the module, or have it loaded anew while it is shown."""
        self.parent = module_parent(entered=reloaded)
        module = load_module()
        self.about = SimpleNamespace(path=str(MODULE))
        module.SegVol(self.about)
        self.module = module.SegVolWidget(self.parent)
        self.module.setup()
        self.window = slicer.util.mainWindow()
        self.window.setCentralWidget(self.parent)
        self.window.resize(400, 900)
        self.window.show()
        self.window.activateWindow()
        assert QTest.qWaitForWindowActive(self.window)
        if not reloaded:
            self.module.enter()

    def close(self):
        """Close it, as when Slicer quits."""
        if self.module is None:
            return
        self.module.exit()
        slicer.app.moduleManager().unload("SegVol")
        self.parent.deleteLater()
        self.module = None
        self.window.takeCentralWidget()
        self.events()
        QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)

    @property
    def panel(self):
        return self.module.panel

    @property
    def ui(self):
        return self.panel.ui

    @property
    def controller(self):
        return self.panel.controller

    @property
    def state(self):
        return self.controller.state

    @property
    def said(self):
        return self.panel.status.text

    def events(self):
        QApplication.processEvents()

    def until(self, condition, seconds=PATIENCE_SECONDS):
        """Let Qt go on, with the panel's own timer, until something is so."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, (self.state, self.said)
            QTest.qWait(10)

    def wait(self):
        """Until nothing is computed any more."""
        self.until(lambda: self.state.phase is Phase.READY)

    def click(self, button):
        """Press a button; one that is disabled or not to be seen cannot be pressed."""
        self.events()  # so that it is where it is to be
        assert button.enabled, f"{button.objectName} is disabled: {self.said}"
        assert button.isVisible(), f"{button.objectName} is hidden"
        pressed = []
        button.connect("clicked()", lambda: pressed.append(True))
        QTest.mouseClick(button, Qt.MouseButton.LeftButton, pos=_middle(button))
        self.events()
        assert pressed, f"{button.objectName} was missed"

    def key(self, key):
        """Press a key in the window, whatever has the focus."""
        combination = QKeySequence(key)[0]
        target = QApplication.focusWidget() or self.window
        QTest.keyClick(target, combination.key(), combination.keyboardModifiers())
        self.events()

    def type(self, text):
        """Type into the field of names."""
        self.ui.nameEdit.setFocus()
        QTest.keyClicks(self.ui.nameEdit, text)
        self.events()

    def place(self, volume, ijk):
        """Click on a voxel in a view: where Slicer's place mode lets points go."""
        selection = self.scene.GetNodeByID("vtkMRMLSelectionNodeSingleton")
        interaction = self.scene.GetNodeByID("vtkMRMLInteractionNodeSingleton")
        assert interaction.GetCurrentInteractionMode() == interaction.Place, "not in place mode"
        node = self.scene.GetNodeByID(selection.GetActivePlaceNodeID())
        node.AddControlPointWorld(*world_of(volume, ijk))
        if not interaction.GetPlaceModePersistence():
            interaction.SetCurrentInteractionMode(interaction.ViewTransform)

    def mask(self, volume, segment_id=None):
        """A segment as Slicer exports it."""
        node = self.state.segmentation_node
        return slicers_mask(node, segment_id or self.state.segment_id, volume)

    def has(self, volume, ijk):
        """Whether the selected segment has a voxel."""
        return self.mask(volume)[ijk[::-1]]

    def names(self):
        """Names of all segments."""
        node = self.state.segmentation_node
        if node is None:
            return []
        segmentation = node.GetSegmentation()
        return [segmentation.GetSegment(each).GetName() for each in segmentation.GetSegmentIDs()]

    def add_volume(self, seed=0, name="CT"):
        """A CT with an organ at `ORGAN_IJK`."""
        node = slicer.util.addVolumeFromArray(body(seed), np.diag([-3.0, -3.0, 4.0, 1.0]), name)
        self.panel.poll()  # Slicer adds a volume before it has voxels
        return node

    def choose(self, box, index):
        """Choose from a combo box, as a user does."""
        assert box.enabled
        box.setCurrentIndex(index)
        self.events()


def _middle(button):
    """Where a button can be pressed: a check box only where it is drawn."""
    if isinstance(button, QCheckBox):
        return QPoint(8, button.rect.center().y())
    return button.rect.center()


ORGAN_IJK, SECOND_IJK, BODY_IJK = (40, 30, 12), (36, 30, 12), (14, 40, 12)
"""Voxels of `body`: in the middle of the organ, elsewhere in it, and beside it."""


def body(seed=0):
    """CT (k, j, i) of a body with a bright organ in it; small, so that tests are fast."""
    k, j, i = np.indices((24, 64, 64))
    outside = ((j - 31.5) / 27) ** 2 + ((i - 31.5) / 30) ** 2 > 1
    organ = ((k - 12) / 7) ** 2 + ((j - 30) / 10) ** 2 + ((i - 40) / 10) ** 2 < 1
    voxels = np.where(outside, -1000.0, np.where(organ, 160.0, 20.0))
    noise = np.random.default_rng(seed).normal(0, 8, k.shape)
    return (voxels + noise).astype(np.int16)
