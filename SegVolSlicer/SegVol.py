"""The module SegVol of 3D Slicer: what Slicer looks for, and nothing else.

The panel is in `SegVolPanel`, beside this file. The layers below it, `SegVolLogic` and
`segvol_core`, are beside this file in an installed extension and one folder up in a checkout.
"""

import sys
from pathlib import Path

from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)

_PACKAGES = ("SegVolPanel", "SegVolLogic", "segvol_core")


def _find_packages() -> None:
    """Let Python find our packages, after everything that it finds already."""
    here = Path(__file__).resolve().parent
    for folder in (here, here.parent):
        has_one = any((folder / name).is_dir() for name in _PACKAGES)
        if has_one and str(folder) not in sys.path:
            sys.path.append(str(folder))


class SegVol(ScriptedLoadableModule):
    """What Slicer shows of the module in its menus."""

    def __init__(self, parent):
        super().__init__(parent)
        parent.title = "SegVol"
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = []
        parent.contributors = ["The SegVol for 3D Slicer project"]
        parent.helpText = _(
            "Segment anything in a CT by clicking, drawing a box or typing a name. Choose a "
            "volume, press <b>Click +</b> and click on what you want; or type <b>liver, spleen</b> "
            "and press Enter.<br><br>Not for clinical use: look at every mask before you use it."
        )
        parent.acknowledgementText = _(
            "The network is SegVol (Du, Bai, Huang, Zhao: SegVol: Universal and Interactive "
            "Volumetric Medical Image Segmentation. NeurIPS 2024)."
        )


class SegVolWidget(ScriptedLoadableModuleWidget):
    """The module's place in Slicer's window; `panel` is what is in it."""

    def __init__(self, parent=None):
        self.panel = None
        super().__init__(parent)

    def setup(self):
        """Make the panel."""
        super().setup()
        _find_packages()
        from SegVolPanel.panel import Panel  # noqa: PLC0415 - not at Slicer's start

        self.panel = Panel(self.resourcePath("UI"))
        self.layout.addWidget(self.panel.widget)

    def enter(self):
        """Work, being shown."""
        if self.panel is not None:
            self.panel.enter()

    def exit(self):
        """Let Slicer be."""
        if self.panel is not None:
            self.panel.exit()

    def cleanup(self):
        """End everything."""
        if self.panel is not None:
            self.panel.close()

    def onReload(self):  # noqa: N802 - Slicer's name
        """Load the module anew, with all that is below it."""
        self.cleanup()
        for name in list(sys.modules):
            if name.partition(".")[0] in (*_PACKAGES, "SegVolSelfTest"):
                del sys.modules[name]
        super().onReload()


class SegVolTest(ScriptedLoadableModuleTest):
    """Runs the self-test of `SegVolSelfTest`."""

    def runTest(self, **_options):  # noqa: N802 - Slicer's name
        """Do a user's tasks."""
        _find_packages()
        from SegVolSelfTest import run_self_test  # noqa: PLC0415 - not at Slicer's start

        run_self_test()
