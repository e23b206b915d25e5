"""Three made CTs with labels, an index and small weights, and `segvol evaluate` on them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import SimpleITK
from command_line import run
from typer.testing import Result

from segvol_core.model.segvol import SegVol
from segvol_core.weights import save_model

Evaluate = Callable[..., Result]

LABEL_MAP = {"Brainstem": 1, "LeftParotid": 2, "ptv56": 3}
WEIGHTS = "tiny.safetensors"


def write_cases(folder: Path, model: SegVol) -> Path:
    """Two cases for validation, one for training; `names.csv` has the names of two labels."""
    records = []
    for name, split in (("first", "validation"), ("second", "validation"), ("third", "train")):
        _write_case(folder, name)
        files = {"image": f"{name}_ct.nii.gz", "labels": f"{name}_labels.nii.gz"}
        records.append({"case": name, "split": split, "label_map": LABEL_MAP, **files})
    (folder / "index.json").write_text(json.dumps(records))
    (folder / "names.csv").write_text("structure,id\nBrainstem,1\nLeftParotid,2\n")
    save_model(model, folder / WEIGHTS)
    return folder


def evaluate_with(weights: Path) -> Evaluate:
    """The command with weights that take no time."""
    return lambda *options: run("evaluate", "--weights", weights, "--device", "cpu", *options)


def read_csv(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV by the names of their columns."""
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def _write_case(folder: Path, name: str) -> None:
    rng = np.random.default_rng(len(name))
    labels = np.zeros((12, 40, 40), dtype=np.uint8)
    labels[3:9, 8:20, 10:24] = 1
    labels[0:5, 25:33, 5:15] = 2
    labels[6:9, 22:30, 25:35] = 3
    hounsfield = (rng.normal(-600, 150, labels.shape) + 700 * (labels > 0)).astype(np.int16)
    for voxels, file in ((hounsfield, f"{name}_ct.nii.gz"), (labels, f"{name}_labels.nii.gz")):
        image = SimpleITK.GetImageFromArray(voxels)
        image.SetSpacing((2.0, 2.0, 3.0))
        SimpleITK.WriteImage(image, str(folder / file))
