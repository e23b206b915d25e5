"""The self-test that users run in Slicer passes here too, so that it does not grow stale."""

import sys
import unittest
from types import SimpleNamespace

import slicer
import slicer.util


def test_the_self_test_of_the_module_passes(local_desk, monkeypatch):
    """With what it needs of the application, and is not in the wheel of slicer-core."""
    scene = local_desk.scene
    module = SimpleNamespace(
        path=slicer.modules.segvol.path,
        widgetRepresentation=lambda: SimpleNamespace(self=lambda: local_desk.module),
    )
    monkeypatch.setattr(slicer.modules, "segvol", module)
    functions = {
        "selectModule": lambda _name: None,
        "setSliceViewerLayers": lambda **_layers: None,
        "saveScene": scene.WriteToMRB,
        "loadScene": scene.ReadFromMRB,
    }
    for name, function in functions.items():
        monkeypatch.setattr(slicer.util, name, function, raising=False)

    result = unittest.TestResult()
    # In Slicer the base class is a TestCase already.
    test_case = type("SelfTest", (sys.modules["SegVol"].SegVolTest, unittest.TestCase), {})
    unittest.TestLoader().loadTestsFromTestCase(test_case).run(result)

    assert not result.failures + result.errors, result.failures + result.errors
    assert not result.skipped
    assert result.testsRun >= 8
