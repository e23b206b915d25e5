"""What this layer says can be said in the application's language."""

import ast
from pathlib import Path

import pytest
import slicer

import SegVolLogic
from SegVolLogic.errors import SceneError
from SegVolLogic.segment_grid import checked_segmentation
from SegVolLogic.volume_node import volume_of

SOURCES = sorted(Path(SegVolLogic.__file__).parent.glob("*.py"))
RAISED_FOR_USERS = {"SceneError", "PromptError", "SegVolError"}


class Dictionary:
    """MRML's translator with sentences in it: a class of VTK's cannot be derived from in Python."""

    def __init__(self, sentences):
        self._sentences = sentences

    def GetInstance(self):  # noqa: N802 - VTK's name
        return self

    def Translate(self, context, text):  # noqa: N802 - VTK's name
        return self._sentences.get((context, text), text)


def test_without_a_translation_a_sentence_stays_english(mrml):
    with pytest.raises(SceneError, match=r"^Choose a segmentation first, or let SegVol make"):
        checked_segmentation(None)


def test_an_error_is_said_in_the_language_of_the_application(mrml, monkeypatch):
    node = slicer.vtkMRMLModelNode()
    node.SetName("Kopf")
    german = {
        ("SegVolLogic.volume_node", "“{name}” is not a volume."): "„{name}“ ist kein Volumen."
    }
    monkeypatch.setattr(slicer, "vtkMRMLI18N", Dictionary(german))
    with pytest.raises(SceneError, match=r"^„Kopf“ ist kein Volumen\.$"):
        volume_of(node)


@pytest.mark.parametrize("wrong", ["„{Name}“ ist kein Volumen.", "„{“ ist kein Volumen."])
def test_a_translation_that_cannot_be_filled_in_is_not_used(mrml, monkeypatch, wrong):
    node = slicer.vtkMRMLModelNode()
    node.SetName("Kopf")
    wrongly = {("SegVolLogic.volume_node", "“{name}” is not a volume."): wrong}
    monkeypatch.setattr(slicer, "vtkMRMLI18N", Dictionary(wrongly))
    with pytest.raises(SceneError, match=r"^“Kopf” is not a volume\.$"):
        volume_of(node)


def test_every_sentence_of_this_layer_can_be_translated():
    """Slicer's tool collects plain texts that are arguments of ``_``."""
    count = 0
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "id", "")
            if name == "_":
                assert isinstance(node.args[0], ast.Constant), f"{path.name}:{node.lineno}"
                count += 1
            elif name in RAISED_FOR_USERS and node.args:
                plain = isinstance(node.args[0], ast.Constant | ast.JoinedStr)
                assert not plain, f"{path.name}:{node.lineno} is not translated"
    assert count > 40
