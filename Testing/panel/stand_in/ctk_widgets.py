"""CTK's widgets that the panel uses, with the properties, slots and signals of their headers."""

from PySide6.QtCore import Property, QRect, Qt, Signal
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import (
    QAbstractButton,
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QStyle,
    QStyleOptionButton,
    QToolButton,
    QWidget,
)

from .strict import _Strict

_HEADER = 24


class ctkCollapsibleButton(_Strict, QAbstractButton):
    """A header to click, and what is below it."""

    contentsCollapsed = Signal(bool)

    def __init__(self, parent=None):
        QAbstractButton.__init__(self, parent)
        self._collapsed = False
        self.setCheckable(True)
        self.setChecked(True)
        self.toggled.connect(lambda on: self.setCollapsed(not on))

    def setCollapsed(self, collapsed):
        if collapsed == self._collapsed:
            return
        self._collapsed = collapsed
        self.setChecked(not collapsed)
        for child in self.children():
            if isinstance(child, QWidget):
                child.setVisible(not collapsed)
        self.setMaximumHeight(_HEADER if collapsed else 16777215)
        self.updateGeometry()
        self.contentsCollapsed.emit(collapsed)

    collapsed = Property(bool, lambda self: self._collapsed, setCollapsed)

    def showEvent(self, event):
        # Not event(): Qt calls that also from within destructors, where PySide may not call Python.
        if self.layout() is not None:
            left, top, right, bottom = self.layout().getContentsMargins()
            if top < _HEADER:
                self.layout().setContentsMargins(left, top + _HEADER, right, bottom)
        QAbstractButton.showEvent(self, event)

    def sizeHint(self):
        hint = self.layout().sizeHint() if self.layout() is not None else QWidget.sizeHint(self)
        if self._collapsed:
            hint.setHeight(_HEADER)
        return hint

    def minimumSizeHint(self):
        return self.sizeHint()

    def hitButton(self, position):
        return position.y() < _HEADER

    def paintEvent(self, _event):
        option = QStyleOptionButton()
        option.initFrom(self)
        option.rect = QRect(0, 0, QWidget.width(self), _HEADER - 2)
        option.text = ("▸  " if self._collapsed else "▾  ") + QAbstractButton.text(self)
        painter = QPainter(self)
        self.style().drawControl(QStyle.ControlElement.CE_PushButtonBevel, option, painter)
        painter.setPen(option.palette.buttonText().color())
        painter.drawText(
            option.rect.adjusted(8, 0, 0, 0), Qt.AlignmentFlag.AlignVCenter, option.text
        )


class ctkPathLineEdit(_Strict, QWidget):
    """A path with a button to choose it; what it asks is answered by `answer` in tests."""

    Dirs, Files = 0x1, 0x2  # as in QDir

    currentPathChanged = Signal(str)

    def __init__(self, parent=None):
        QWidget.__init__(self, parent)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._edit = QLineEdit(self)
        self._button = QToolButton(self)
        self._button.setText("…")
        layout.addWidget(self._edit)
        layout.addWidget(self._button)
        self._name_filters = []
        self._filters = self.Dirs | self.Files
        self._edit.textChanged.connect(self.currentPathChanged)
        self._button.clicked.connect(self.browse)

    def browse(self):
        path, _ = QFileDialog.getOpenFileName(self)
        if path:
            self._edit.setText(path)

    def setCurrentPath(self, path):
        self._edit.setText(path)

    def _set_filters(self, filters):
        self._filters = filters

    def _set_name_filters(self, filters):
        self._name_filters = filters

    filters = Property(int, lambda self: self._filters, _set_filters)
    currentPath = Property(str, lambda self: self._edit.text(), setCurrentPath)
    nameFilters = Property("QStringList", lambda self: self._name_filters, _set_name_filters)
