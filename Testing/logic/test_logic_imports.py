"""Slicer's own process gets neither PyTorch nor a wait from this layer."""

import subprocess
import sys

IMPORTS = """
import sys, time
import slicer, slicer.util, vtk.util.numpy_support, numpy, SimpleITK
before, started = set(sys.modules), time.process_time()
import SegVolLogic.controller, SegVolLogic.engines, SegVolLogic.script, SegVolLogic.measurements
print(time.process_time() - started)
print(*sorted({name.split(".")[0] for name in set(sys.modules) - before}))
"""


def test_everything_that_slicer_imports_is_quick_and_needs_no_torch():
    output = subprocess.run(  # noqa: S603
        [sys.executable, "-c", IMPORTS],
        capture_output=True,
        encoding="utf-8",
        check=True,
        timeout=120,
    ).stdout
    seconds, modules = output.strip().splitlines()
    assert float(seconds) < 0.6  # The bar is 0.3 s on a machine that does nothing else.
    for heavy in ("torch", "scipy", "monai", "tokenizers", "huggingface_hub", "pydantic"):
        assert heavy not in modules.split()
