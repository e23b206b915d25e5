"""Qt classes that behave as PythonQt's wrappers of them, and not as PySide's.

PythonQt differs in what a panel stumbles over: Qt properties are values (`button.text`, never
`button.text()`) that can be assigned; nothing else can be assigned to a Qt object; a name that Qt
does not have is an error; nothing takes keywords; a static function hides a property of its name.
"""

import types
from functools import cache
from typing import ClassVar

from PySide6.QtCore import SIGNAL, QObject

# Where a static function has the name of a property, PythonQt gives the function and sets nothing.
_HIDDEN_PROPERTIES = {"singleShot"}
# Qt asks its wrapper in Python for a version of these, and would by the property do so for ever.
_VIRTUAL_PROPERTIES = {"sizeHint", "minimumSizeHint"}
# PySide has these and PythonQt does not.
_NOT_IN_PYTHONQT = {"exec", "exec_", "print", "print_", "tr", "findChild"}
_SHOWN_BY_PYTHONQT = {"exec_": "exec"}


@cache
def property_names(base):
    """Names of a class's Qt properties, and whether each can be set."""
    meta = base.staticMetaObject
    each = map(meta.property, range(meta.propertyCount()))
    return {
        each.name(): each.isWritable() for each in each if each.name() not in _HIDDEN_PROPERTIES
    }


@cache
def strict(base):
    """Return a Qt class's strict twin."""
    return type(base.__name__, (_Strict, base), {"__module__": __name__})


def named(widget):
    """What a test says of a widget."""
    return f"{type(widget).__name__} {QObject.objectName(widget)!r}"


class _Strict:
    _signatures: ClassVar = {}
    """Signals by their C++ signature, for classes that are written in Python here."""
    _is_pythons = False

    def __init__(self, *args, **keywords):
        if keywords:
            raise TypeError(f"PythonQt takes no keywords: {', '.join(keywords)}")
        super().__init__(*args)

    def __getattribute__(self, name):
        if name.startswith("_"):
            return super().__getattribute__(name)
        if name == "name":
            return QObject.objectName(self)
        if name in ("connect", "disconnect"):  # PySide looks past a subclass for these
            return types.MethodType(getattr(_Strict, name), self)
        if name in property_names(type(self)):
            virtual = name in _VIRTUAL_PROPERTIES
            return super().__getattribute__(name)() if virtual else QObject.property(self, name)
        if name in _SHOWN_BY_PYTHONQT:
            return _positional(super().__getattribute__(_SHOWN_BY_PYTHONQT[name]))
        if name in _NOT_IN_PYTHONQT or "_" in name:
            raise AttributeError(f"PythonQt's {type(self).__name__} has no {name}")
        value = super().__getattribute__(name)
        return _positional(value) if isinstance(value, types.BuiltinMethodType) else value

    def __setattr__(self, name, value):
        if name.startswith("_"):
            super().__setattr__(name, value)
            return
        if isinstance(value, QObject) and QObject.objectName(value) == name:
            return  # PySide's loader wants to name children so; PythonQt's does not
        if not property_names(type(self)).get(name, False):
            raise AttributeError(f"PythonQt sets no attribute {name} on a {named(self)}")
        if not QObject.setProperty(self, name, value):
            raise TypeError(f"{named(self)}.{name} cannot be {value!r}")

    def setParent(self, parent, *flags):
        """Note what is Python's from then on."""
        self._is_pythons = parent is None
        super().setParent(parent, *flags)

    def deleteLater(self):
        """Refuse what crashes Slicer: Python deletes what is its own, while Qt deletes it."""
        if self._is_pythons:
            raise RuntimeError(f"{named(self)} has no parent any more: it would be deleted twice")
        super().deleteLater()

    def connect(self, signature, slot):
        """Connect by a signature, as PythonQt; a misspelt one raises, where PythonQt warns."""
        own = super().__getattribute__("_signatures").get(signature)
        if own is not None:
            super().__getattribute__(own).connect(slot)
            return True
        if self.metaObject().indexOfSignal(SIGNAL(signature)[1:]) < 0:
            raise AttributeError(f"{named(self)} has no signal {signature}")
        return bool(QObject.connect(self, SIGNAL(signature), slot))

    def disconnect(self, signature, slot):
        """Disconnect what :meth:`connect` connected."""
        own = super().__getattribute__("_signatures").get(signature)
        if own is not None:
            return super().__getattribute__(own).disconnect(slot)
        return QObject.disconnect(self, SIGNAL(signature), slot)

    def className(self):
        """Name of the C++ class."""
        return type(self).__name__


def _positional(function):
    def call(*args):
        return function(*args)

    return call
