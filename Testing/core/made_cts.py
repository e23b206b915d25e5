"""Made CTs of a body with two organs, written as people keep them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK

from segvol_core.model.config import SegVolConfig, TextConfig

TINY = SegVolConfig(
    window=(8, 16, 16),
    patch=(4, 4, 4),
    width=64,
    depth=1,
    heads=2,
    mlp_width=64,
    decoder_heads=2,
    decoder_mlp_width=32,
    text=TextConfig(width=32, depth=1, heads=2, mlp_width=64, vocabulary=1024),
    prompt_coordinates="aligned",
    prompt_priors=True,
    hounsfield_levels=((-1000, 0.0), (-200, 0.15), (300, 0.85), (1500, 1.0)),
    spacing_mm=(5.0, 5.0, 5.0),
)
ORGANS = {"liver": 1, "spleen": 2}


def two_organs(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Hounsfield units and labels (z, y, x) of a made body, 5 mm voxels."""
    rng = np.random.default_rng(seed)
    voxels = np.full((14, 24, 24), -1000.0)
    labels = np.zeros(voxels.shape, dtype=np.uint8)
    voxels[:, 3:21, 2:22] = -80
    voxels[0, 10:12, 10:12] = 700
    voxels[3:11, 6:16, 12:20], labels[3:11, 6:16, 12:20] = 110, 1
    voxels[5:10, 7:13, 4:9], labels[5:10, 7:13, 4:9] = 180, 2
    return voxels + rng.normal(0, 8, voxels.shape), labels


def write_image(
    array: np.ndarray, path: Path, *, spacing: float = 5.0, origin: tuple[float, ...] = (0, 0, 0)
) -> Path:
    """A file in RAS axes; voxels (z, y, x)."""
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(array))
    image.SetSpacing((spacing, spacing, spacing))
    image.SetOrigin(origin)
    image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    SimpleITK.WriteImage(image, str(path))
    return path


def write_named_folder(folder: Path, cases: int = 3) -> Path:
    """CTs and label maps, described by a dataset.yaml."""
    for index in range(cases):
        voxels, labels = two_organs(index)
        write_image(voxels.astype(np.int16), folder / "images" / f"case{index}.nii.gz")
        write_image(labels, folder / "labels" / f"case{index}.nrrd")
    (folder / "dataset.yaml").write_text(
        "image: images/{case}.nii.gz\nlabels: labels/{case}.nrrd\n"
        "structures: {liver: 1, spleen: 2}\n"
    )
    return folder
