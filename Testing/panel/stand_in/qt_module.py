"""The module `qt`: strict twins of the classes of QtCore, QtGui and QtWidgets."""

import types

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

from .strict import strict


def make_qt(custom_widgets):
    """Return the module.

    Parameters
    ----------
    custom_widgets
        Classes that a `.ui` file may name besides Qt's own, by name.
    """
    return QtModule(custom_widgets)


class QtModule(types.ModuleType):
    """Finds names in Qt's modules; Qt classes are made strict, values and enums are as they are."""

    def __init__(self, custom_widgets):
        super().__init__("qt")
        self._custom_widgets = custom_widgets

    def __getattr__(self, name):
        if name == "QUiLoader":
            return lambda: UiLoader(self._custom_widgets)
        for module in (QtCore, QtGui, QtWidgets):
            found = getattr(module, name, None)
            if found is not None:
                break
        else:
            raise AttributeError(f"PythonQt has no qt.{name}")
        is_object = isinstance(found, type) and issubclass(found, QtCore.QObject)
        return strict(found) if is_object else found


class UiLoader(QtUiTools.QUiLoader):
    """Loads a `.ui` file into strict widgets."""

    def __init__(self, custom_widgets):
        super().__init__()
        self._custom_widgets = custom_widgets
        self.made = []

    def createWidget(self, class_name, parent=None, name=""):
        """Make a widget of the class that the file names."""
        found = self._custom_widgets.get(class_name) or getattr(QtWidgets, class_name, None)
        if found is None:
            raise ValueError(f"the .ui file names {class_name}, which is not there")
        widget = strict(found)(parent) if class_name not in self._custom_widgets else found(parent)
        widget.setObjectName(name)
        self.made.append(widget)
        return widget

    def load(self, file):
        """Load, and keep the Python side of every widget as long as the whole."""
        whole = super().load(file)
        whole._made = self.made
        return whole
