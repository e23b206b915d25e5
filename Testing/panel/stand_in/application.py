"""The application's side: `slicer.app`, the window, and the bases of scripted modules."""

import os
import sys
import types
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from typing import ClassVar

import slicer
import slicer.util
from PySide6.QtCore import Property, QSettings, Signal
from PySide6.QtWidgets import QApplication, QMainWindow, QVBoxLayout, QWidget

from .ctk_widgets import ctkCollapsibleButton, ctkPathLineEdit
from .mrml_widgets import qMRMLNodeComboBox, qMRMLSegmentsTableView
from .qt_module import make_qt
from .strict import _Strict, strict

CUSTOM_WIDGETS = {
    each.__name__: each
    for each in (
        ctkCollapsibleButton,
        ctkPathLineEdit,
        qMRMLNodeComboBox,
        qMRMLSegmentsTableView,
    )
}


class qMRMLWidget(_Strict, QWidget):
    """A widget that is told of the scene."""

    mrmlSceneChanged = Signal(object)
    _signatures: ClassVar = {"mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged"}

    def setMRMLScene(self, scene):
        self._scene = scene
        self.mrmlSceneChanged.emit(scene)


class ModuleWidget(qMRMLWidget):
    """What Slicer puts a module's widgets in."""

    def __init__(self, entered):
        super().__init__()
        self._entered = entered

    isEntered = Property(bool, lambda self: self._entered)


class ThreeDView:
    """Counts how often it was told to look at what there is."""

    def __init__(self):
        self.resets = []

    def resetFocalPoint(self):
        self.resets.append("focal point")

    def resetCamera(self):
        self.resets.append("camera")


class SliceView(qMRMLWidget):
    """A slice view of which only its interactor is of use, which notes what the mouse does."""

    def __init__(self):
        super().__init__()
        self._moves = []
        self._place = None

    def sliceView(self):
        return self

    def interactorStyle(self):
        return self

    def GetInteractor(self):
        return self

    def GetRenderWindow(self):
        return self

    def GetSize(self):
        """In the pixels of a screen that has twice as many as Qt counts."""
        return 2 * self.width, 2 * self.height

    def SetEventPosition(self, x, y):
        self._place = (x, y)

    def MouseMoveEvent(self):
        self._moves.append(self._place)


class LayoutManager:
    """A layout with one slice view and one 3D view."""

    threeDViewCount = 1

    def __init__(self):
        self.view = ThreeDView()
        self.red = SliceView()
        self.layout = 3

    def setLayout(self, layout):
        self.layout = layout

    def sliceViewNames(self):
        return ("Red",)

    def sliceWidget(self, name):
        return {"Red": self.red}[name]

    def threeDWidget(self, index):
        if index != 0:
            raise IndexError(index)
        return self

    def threeDView(self):
        return self.view


class Tables:
    """Slicer's module of tables."""

    def logic(self):
        return self

    def GetLayoutWithTable(self, layout):
        """Slicer's own numbers: four views, and the same with a table."""
        return {3: 35}.get(layout, layout)


class ModuleManager:
    """Says when a module goes."""

    def __init__(self):
        self._slots = []

    def connect(self, signature, slot):
        """Connect to the one signal that there is."""
        if signature != "moduleAboutToBeUnloaded(QString)":
            raise AttributeError(signature)
        self._slots.append(slot)

    def disconnect(self, signature, slot):
        """Disconnect."""
        self._slots.remove(slot)

    def module(self, name):
        """A module, or None if there is none of that name."""
        return Tables() if name == "Tables" else None

    def unload(self, name):
        """What happens when a module is reloaded, or Slicer ends."""
        for slot in list(self._slots):
            slot(name)


class Application:
    """`slicer.app`, as far as the panel needs it."""

    def __init__(self, mrml, settings_file):
        self.qt = QApplication.instance() or QApplication(sys.argv[:1])
        self._mrml = mrml
        self._window = strict(QMainWindow)()
        self._window.setObjectName("qSlicerMainWindow")
        self._modules = ModuleManager()
        self._layout = LayoutManager()
        QSettings.setDefaultFormat(QSettings.Format.IniFormat)
        QSettings.setPath(
            QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(settings_file.parent)
        )
        self.qt.setOrganizationName("NA-MIC")
        self.qt.setApplicationName(settings_file.stem)

    def connect(self, signature, slot):
        """Connect to the signal of a finished start, which never comes here."""
        if signature != "startupCompleted()":
            raise AttributeError(signature)

    def applicationLogic(self):
        return self._mrml.application

    def topLevelWidgets(self):
        return [self._window]

    def layoutManager(self):
        return self._layout

    def moduleManager(self):
        return self._modules

    def setOverrideCursor(self, cursor):
        self.qt.setOverrideCursor(cursor)

    def restoreOverrideCursor(self):
        self.qt.restoreOverrideCursor()

    def processEvents(self):
        self.qt.processEvents()

    def startupEnvironment(self):
        return Environment()

    def translate(self, _context, text):
        """Nothing is translated here."""
        if not isinstance(text, str):
            raise TypeError("only text is translated")
        return text


class Environment:
    """As a QProcessEnvironment."""

    def keys(self):
        """Names."""
        return list(os.environ)

    def value(self, name):
        """Value."""
        return os.environ[name]


class ScriptedLoadableModule:
    """Base of module classes."""

    def __init__(self, parent):
        self.parent = parent
        self.moduleName = type(self).__name__
        self.resourcePath = lambda name: str(Path(parent.path).parent / "Resources" / name)


class ScriptedLoadableModuleWidget:
    """Base of module widgets."""

    def __init__(self, parent=None):
        self.moduleName = type(self).__name__.removesuffix("Widget")
        if parent is None:
            raise ValueError("give a parent, as Slicer does")
        self.parent = parent
        self.layout = parent.layout()
        slicer.app.moduleManager().connect("moduleAboutToBeUnloaded(QString)", self._unload)

    def resourcePath(self, name):
        path = slicer.util.modulePath(self.moduleName)
        return str(Path(path).parent / "Resources" / name)

    def setup(self):
        """For the module to fill."""

    def cleanup(self):
        """For the module to fill."""

    def onReload(self):
        slicer.util.reloadScriptedModule(self.moduleName)

    def _unload(self, name):
        if name == self.moduleName:
            self.cleanup()
            slicer.app.moduleManager().disconnect("moduleAboutToBeUnloaded(QString)", self._unload)


class ScriptedLoadableModuleTest:
    """Base of self-tests, which run in a real Slicer only."""


class ScriptedLoadableModuleLogic:
    """Base of module logics."""


def install(mrml, settings_file):
    """Put the modules in place, and make the application.

    Parameters
    ----------
    mrml
        A `mrml_application.MrmlApplication`.
    settings_file
        Where QSettings are kept.
    """
    application = Application(mrml, settings_file)
    slicer.app = application
    slicer.qMRMLWidget = qMRMLWidget
    sys.modules["qt"] = make_qt(CUSTOM_WIDGETS)
    ctk = types.ModuleType("ctk")
    ctk.ctkCollapsibleButton, ctk.ctkPathLineEdit = ctkCollapsibleButton, ctkPathLineEdit
    sys.modules["ctk"] = ctk
    _module(
        "slicer.i18n",
        tr=lambda text: application.translate("", text),
        translate=application.translate,
    )
    bases = (
        ScriptedLoadableModule,
        ScriptedLoadableModuleWidget,
        ScriptedLoadableModuleLogic,
        ScriptedLoadableModuleTest,
    )
    _module("slicer.ScriptedLoadableModule", **{each.__name__: each for each in bases})
    return application


def module_parent(*, entered):
    """The widget that Slicer puts a module's widgets in; entered if the module is shown already."""
    parent = ModuleWidget(entered)
    parent.setMRMLScene(slicer.mrmlScene)
    parent.setLayout(QVBoxLayout())
    parent.layout().setContentsMargins(0, 0, 0, 0)
    return parent


def _module(name, **contents):
    module = types.ModuleType(name)
    module.__dict__.update(contents)
    sys.modules[name] = module
    setattr(slicer, name.rpartition(".")[2], module)
