"""A small folder of CTs as the starter's recipe reads it: two labelled, one not."""

import json
from pathlib import Path

import numpy as np
import SimpleITK

from segvol_core.model.config import SegVolConfig, TextConfig

TINY = SegVolConfig(
    window=(8, 16, 16),
    patch=(4, 4, 4),
    width=160,
    depth=1,
    heads=2,
    mlp_width=160,
    decoder_heads=2,
    decoder_mlp_width=64,
    text=TextConfig(width=32, depth=1, heads=2, mlp_width=64, vocabulary=1024),
    prompt_coordinates="aligned",
    spacing_mm=(5.0, 5.0, 5.0),
)
ORGANS = {"liver": 1, "spleen": 2}


def write_index_folder(path: Path) -> Path:
    """CTs of a body with two organs, in two orientations, and their index.json."""
    voxels, labels = two_organs()
    index = []
    for name, split in (("first", "train"), ("second", "unlabelled"), ("third", "validation")):
        labelled = split != "unlabelled"
        write(voxels, path / f"{name}_ct.nii.gz", upside_down=name == "first")
        if labelled:
            write(labels, path / f"{name}_labels.nii.gz", upside_down=name == "first")
        index.append(
            {
                "case": name,
                "split": split,
                "dataset": "made",
                "image": f"{name}_ct.nii.gz",
                "labels": f"{name}_labels.nii.gz" if labelled else None,
                "label_map": ORGANS if labelled else None,
            }
        )
    (path / "index.json").write_text(json.dumps(index))
    return path


def two_organs() -> tuple[np.ndarray, np.ndarray]:
    """Hounsfield units and labels (z, y, x) of a made body, 5 mm voxels."""
    rng = np.random.default_rng(0)
    voxels = np.full((14, 24, 24), -1000.0)
    labels = np.zeros(voxels.shape, dtype=np.uint8)
    voxels[:, 3:21, 2:22] = -80
    voxels[3:11, 6:16, 12:20], labels[3:11, 6:16, 12:20] = 110, 1
    voxels[5:10, 7:13, 4:9], labels[5:10, 7:13, 4:9] = 180, 2
    return voxels + rng.normal(0, 8, voxels.shape), labels


def write(array: np.ndarray, path: Path, *, upside_down: bool) -> None:
    flipped = array[::-1] if upside_down else array
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(flipped))
    image.SetSpacing((5.0, 5.0, 5.0))
    # RAS, or its first slice at the top.
    image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, -1 if upside_down else 1))
    SimpleITK.WriteImage(image, str(path))
