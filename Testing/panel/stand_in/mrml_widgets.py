"""Slicer's MRML widgets that the panel uses, with the API of their headers, on the real scene."""

from typing import ClassVar

from PySide6.QtCore import Property, QItemSelection, QItemSelectionModel, Signal
from PySide6.QtGui import QColor
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from .strict import _Strict, strict

_ID = 256  # Qt.UserRole


class qMRMLNodeComboBox(_Strict, QWidget):
    """A node of the scene, chosen; the first one by itself where none is not allowed."""

    currentNodeChanged = Signal(object)
    _signatures: ClassVar = {"currentNodeChanged(vtkMRMLNode*)": "currentNodeChanged"}

    def __init__(self, parent=None):
        QWidget.__init__(self, parent)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._box = QComboBox(self)
        self._box.setMinimumContentsLength(8)
        self._box.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        layout.addWidget(self._box)
        self._types = []
        self._flags = {}
        self._none_display = "None"
        self._scene = None
        self._current_id = ""
        self._observers = []
        self._filling = False
        self._box.currentIndexChanged.connect(self._chosen)

    def setMRMLScene(self, scene):
        for tag in self._observers:
            self._scene.RemoveObserver(tag)
        self._scene = scene
        self._observers = []
        if scene is not None:
            self._observers = [
                scene.AddObserver(event, lambda *_: self._fill())
                for event in (scene.NodeAddedEvent, scene.NodeRemovedEvent)
            ]
        self._fill()

    def currentNode(self):
        return self._scene.GetNodeByID(self._current_id) if self._current_id else None

    def setCurrentNode(self, node):
        self._select("" if node is None else node.GetID())

    def _set_types(self, types):
        self._types = types

    def _set_none_display(self, text):
        self._none_display = text
        self._fill()

    def _set_none_enabled(self, enabled):
        self._flags["noneEnabled"] = enabled
        self._fill()

    def _nodes(self):
        nodes = []
        for name in self._types if self._scene is not None else ():
            collection = self._scene.GetNodesByClass(name)
            collection.UnRegister(None)
            nodes += [collection.GetItemAsObject(i) for i in range(collection.GetNumberOfItems())]
        children = self._flags.get("showChildNodeTypes", True)
        nodes = [node for node in nodes if children or node.GetClassName() in self._types]
        return [node for node in nodes if not node.GetHideFromEditors()]

    def _fill(self):
        self._filling = True
        self._box.clear()
        if self._flags.get("noneEnabled"):
            self._box.addItem(self._none_display, "")
        nodes = self._nodes()
        for node in nodes:
            self._box.addItem(node.GetName(), node.GetID())
        self._filling = False
        ids = [node.GetID() for node in nodes]
        wanted = self._current_id if self._current_id in ids else ""
        if not wanted and ids and not self._flags.get("noneEnabled"):
            wanted = ids[0]
        self._select(wanted)

    def _select(self, node_id):
        self._filling = True
        self._box.setCurrentIndex(self._box.findData(node_id))
        self._filling = False
        if node_id != self._current_id:
            self._current_id = node_id
            self.currentNodeChanged.emit(self.currentNode())

    def _chosen(self, index):
        if not self._filling:
            self._select(self._box.itemData(index) or "")

    def _flag(name):  # makes a property, in the class body
        return Property(
            bool,
            lambda self: self._flags.get(name, False),
            lambda self, on: self._flags.update({name: on}),
        )

    nodeTypes = Property("QStringList", lambda self: self._types, _set_types)
    noneDisplay = Property(str, lambda self: self._none_display, _set_none_display)
    noneEnabled = Property(
        bool, lambda self: self._flags.get("noneEnabled", False), _set_none_enabled
    )
    addEnabled = _flag("addEnabled")
    removeEnabled = _flag("removeEnabled")
    renameEnabled = _flag("renameEnabled")
    editEnabled = _flag("editEnabled")
    showChildNodeTypes = _flag("showChildNodeTypes")
    selectNodeUponCreation = _flag("selectNodeUponCreation")


class qMRMLSegmentsTableView(_Strict, QWidget):
    """The segments of a segmentation: visibility, colour, name."""

    selectionChanged = Signal(QItemSelection, QItemSelection)
    _signatures: ClassVar = {"selectionChanged(QItemSelection,QItemSelection)": "selectionChanged"}

    def __init__(self, parent=None):
        QWidget.__init__(self, parent)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._message = strict(QLabel)(self)
        self._message.setObjectName("SegmentsTableMessageLabel")
        layout.addWidget(self._message)
        self._table = QTableWidget(0, 3, self)
        self._table.setHorizontalHeaderLabels(["Shown", "Colour", "Name"])
        self._table.horizontalHeader().setStretchLastSection(True)
        self._table.verticalHeader().hide()
        self._table.setColumnWidth(0, 50)
        self._table.setColumnWidth(1, 50)
        self._table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        layout.addWidget(self._table)
        self._flags = {}
        self._node = None
        self._observers = []
        self._filling = False
        self._known = {}
        self._table.selectionModel().selectionChanged.connect(self._selected)
        self._table.itemChanged.connect(self._edited)

    def setMRMLScene(self, scene):
        if scene is None:
            self.setSegmentationNode(None)

    def segmentationNode(self):
        return self._node

    def setSegmentationNode(self, node):
        if node is self._node:
            return
        for watched, tag in self._observers:
            watched.RemoveObserver(tag)
        self._observers = []
        self._node = node
        self._message.setText("No node is selected" if node is None else "")
        if node is not None:
            segmentation = node.GetSegmentation()
            self._observers = [
                (node, node.AddObserver(event, lambda *_: self._hear()))
                for event in (
                    segmentation.SegmentAdded,
                    segmentation.SegmentRemoved,
                    segmentation.SegmentModified,
                    segmentation.SegmentsOrderModified,
                )
            ]
        self._fill()

    def selectedSegmentIDs(self):
        rows = sorted({index.row() for index in self._table.selectedIndexes()})
        return [self._table.item(row, 2).data(_ID) for row in rows]

    def setSelectedSegmentIDs(self, ids):
        # Slicer's table does not scroll to what is selected so.
        how = QItemSelectionModel.SelectionFlag.Select | QItemSelectionModel.SelectionFlag.Rows
        self._table.clearSelection()
        for row in range(self._table.rowCount()):
            if self._table.item(row, 2).data(_ID) in ids:
                self._table.selectionModel().select(self._table.model().index(row, 0), how)

    def clearSelection(self):
        self._table.clearSelection()

    def tableWidget(self):
        return self._table

    def rowForSegmentID(self, segment_id):
        rows = range(self._table.rowCount())
        return next((r for r in rows if self._table.item(r, 2).data(_ID) == segment_id), -1)

    def setSelectionMode(self, mode):
        if not isinstance(mode, int):
            raise TypeError("Slicer's table takes the selection mode as a number")
        self._table.setSelectionMode(QAbstractItemView.SelectionMode(mode))

    def setHeaderVisible(self, visible):
        self._table.horizontalHeader().setVisible(visible)

    def _hear(self):
        """Take changes over as Slicer does: a colour that changed with the name is written back."""
        for segment_id, (name, color) in self._known.items():
            segment = self._node.GetSegmentation().GetSegment(segment_id)
            if segment is not None and name != segment.GetName() and color != segment.GetColor():
                self._known.clear()
                segment.SetColor(*color)
                break
        self._fill()

    def _fill(self):
        before = self.selectedSegmentIDs()
        self._filling = True
        segmentation = None if self._node is None else self._node.GetSegmentation()
        ids = [] if segmentation is None else list(segmentation.GetSegmentIDs())
        self._table.setRowCount(len(ids))
        for row, segment_id in enumerate(ids):
            segment = segmentation.GetSegment(segment_id)
            shown, color = QTableWidgetItem("●"), QTableWidgetItem()
            color.setBackground(QColor.fromRgbF(*segment.GetColor()))
            name = QTableWidgetItem(segment.GetName())
            name.setData(_ID, segment_id)
            for column, item in enumerate((shown, color, name)):
                self._table.setItem(row, column, item)
            self._table.setRowHeight(row, 22)
        self._known = {
            each: (
                segmentation.GetSegment(each).GetName(),
                segmentation.GetSegment(each).GetColor(),
            )
            for each in ids
        }
        self.setSelectedSegmentIDs(before)
        self._filling = False
        if self.selectedSegmentIDs() != before:
            self.selectionChanged.emit(QItemSelection(), QItemSelection())

    def _selected(self, selected, deselected):
        if not self._filling:
            self.selectionChanged.emit(selected, deselected)

    def _edited(self, item):
        if not self._filling and item.column() == 2:
            segment = self._node.GetSegmentation().GetSegment(item.data(_ID))
            segment.SetName(item.text())

    def _column(name):  # makes a property, in the class body
        return Property(
            bool,
            lambda self: self._flags.get(name, True),
            lambda self, on: self._flags.update({name: on}),
        )

    visibilityColumnVisible = _column("visibility")
    colorColumnVisible = _column("color")
    opacityColumnVisible = _column("opacity")
    statusColumnVisible = _column("status")
    layerColumnVisible = _column("layer")
    filterBarVisible = _column("filter")
    readOnly = _column("read only")
    selectionMode = Property(int, lambda self: self._table.selectionMode().value, setSelectionMode)
    headerVisible = Property(
        bool, lambda self: not self._table.horizontalHeader().isHidden(), setHeaderVisible
    )
