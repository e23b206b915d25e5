"""The start-up that the application does and `slicer-core` in plain Python does not.

With it the real MRML works without a window: segmentation conversions, shared labelmaps, storage
nodes and `.mrb` files. Only tests need this; in Slicer all of it is there already.
"""

from pathlib import Path
from types import SimpleNamespace

import slicer
import slicer.util


class MrmlApplication:
    """A scene with the module logics that SegVol's layer and its tests use.

    `slicer.mrmlScene` is its scene and `slicer.modules` has its logics. Keep it as long as the
    scene: without the logics, the scene crashes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.scene = slicer.vtkMRMLScene()
        self.application = slicer.vtkSlicerApplicationLogic()
        self.application.SetMRMLScene(self.scene)
        self.application.SetTemporaryPath(str(folder))
        self.scene.SetRootDirectory(str(folder))
        self._open_data_io()
        self._colors = self._logic(slicer.vtkSlicerColorLogic())
        self.application.SetModuleLogic("Colors", self._colors)
        self._colors.AddDefaultColorNodes()
        logics = {
            "segmentations": self._logic(slicer.vtkSlicerSegmentationsModuleLogic()),
            "markups": self._logic(slicer.vtkSlicerMarkupsLogic()),
            "volumes": self._logic(slicer.vtkSlicerVolumesLogic()),
        }
        slicer.mrmlScene = self.scene
        slicer.modules = SimpleNamespace(
            **{
                name: SimpleNamespace(logic=lambda logic=logic: logic)
                for name, logic in logics.items()
            }
        )

    def _logic(self, logic):
        logic.SetMRMLApplicationLogic(self.application)
        logic.SetMRMLScene(self.scene)
        return logic

    def _open_data_io(self) -> None:
        cache = slicer.vtkCacheManager()
        cache.SetRemoteCacheDirectory(str(self.folder))
        cache.SetMRMLScene(self.scene)
        self._data_io = slicer.vtkDataIOManager()
        self._data_io.SetCacheManager(cache)
        self.scene.SetCacheManager(cache)
        self.scene.SetDataIOManager(self._data_io)
        self._data_io_logic = slicer.vtkDataIOManagerLogic()
        self._data_io_logic.SetMRMLApplicationLogic(self.application)
        self._data_io_logic.SetAndObserveDataIOManager(self._data_io)
