"""The module SegVol of 3D Slicer: what Slicer looks for, and nothing else.

The panel is in `SegVolPanel`, beside this file. The layers below it, `SegVolLogic` and
`segvol_core`, are beside this file in an installed extension and one folder up in a checkout.
"""

import sys
from pathlib import Path
from typing import Any

import slicer

# Slicer finds a module's test beside its class.
from SegVolExtension.self_test import SegVolTest  # noqa: F401
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleWidget

_PACKAGES = ("SegVolPanel", "SegVolExtension", "SegVolLogic", "segvol_core")


def _find_packages() -> None:
    """Let Python find our packages, after everything that it finds already."""
    here = Path(__file__).resolve().parent
    for folder in (here, here.parent):
        has_one = any((folder / name).is_dir() for name in _PACKAGES)
        if has_one and str(folder) not in sys.path:
            sys.path.append(str(folder))


class SegVol(ScriptedLoadableModule):
    """What Slicer shows of the module in its menus."""

    def __init__(self, parent: Any) -> None:
        super().__init__(parent)
        _find_packages()
        from SegVolExtension import about, sample_data  # noqa: PLC0415 - only found now

        parent.title = "SegVol"
        parent.categories = about.CATEGORIES
        parent.dependencies = []
        parent.contributors = about.CONTRIBUTORS
        parent.helpText = about.HELP_TEXT
        parent.acknowledgementText = about.ACKNOWLEDGEMENT_TEXT
        slicer.app.connect("startupCompleted()", sample_data.register_sample_data)


class SegVolWidget(ScriptedLoadableModuleWidget):
    """The module's place in Slicer's window; `panel` is what is in it."""

    def __init__(self, parent: Any = None) -> None:
        self.panel: Any = None
        super().__init__(parent)

    def setup(self) -> None:
        """Make the panel."""
        super().setup()
        from SegVolPanel.panel import Panel  # noqa: PLC0415 - not at Slicer's start

        self.panel = Panel(self.resourcePath("UI"))
        self.layout.addWidget(self.panel.widget)
        if self.parent.isEntered:  # reloaded: Slicer does not say again that it is shown
            self.enter()

    def enter(self) -> None:
        """Work, being shown."""
        if self.panel is not None:
            self.panel.enter()

    def exit(self) -> None:
        """Let Slicer be."""
        if self.panel is not None:
            self.panel.exit()

    def cleanup(self) -> None:
        """End everything."""
        if self.panel is not None:
            self.panel.close()

    def onReload(self) -> None:  # noqa: N802 - Slicer's name
        """Load the module anew, with all that is below it."""
        self.cleanup()
        for name in list(sys.modules):
            if name.partition(".")[0] in _PACKAGES:
                del sys.modules[name]
        super().onReload()
