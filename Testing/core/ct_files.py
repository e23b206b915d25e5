"""CTs written in every format that is read."""

from pathlib import Path

import numpy as np
import SimpleITK
from geometry_strategies import rotation

from segvol_core.itk_images import place_image

FORMATS = ("nii.gz", "nii", "nrrd", "nhdr", "mha", "mhd")
UPRIGHT = np.eye(3)
OBLIQUE = np.eye(4)
OBLIQUE[:3, :3] = rotation((0.2, -0.3, 0.4)) @ np.diag((0.7, 0.8, 2.5))
OBLIQUE[:3, 3] = (10.0, -20.0, 33.0)
LEFT_HANDED = OBLIQUE @ np.diag((1.0, 1.0, -1.0, 1.0))
CT_CROP = Path(__file__).parents[1] / "data" / "ct_crop.nii.gz"
SERIES = "1.2.826.0.1.3680043.2.1125.1"
OTHER_SERIES = "1.2.826.0.1.3680043.2.1125.2"


def write_image(path, voxels, ijk_to_ras=OBLIQUE, compress=False):
    image = SimpleITK.GetImageFromArray(voxels)
    place_image(image, ijk_to_ras)
    SimpleITK.WriteImage(image, str(path), compress)
    return path


def write_series(folder, voxels, *, directions=UPRIGHT, positions=None, uid=SERIES, tags=None):
    """Write one DICOM file per slice (LPS), in an order that the file names do not give."""
    folder.mkdir(exist_ok=True)
    if positions is None:
        positions = [np.array((10.0, -20.0, 33.0)) + directions[:, 2] * 2.5 * k for k in range(20)]
    writer = SimpleITK.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for k, pixels in enumerate(voxels):
        image = SimpleITK.GetImageFromArray(pixels)
        image.SetSpacing((0.7, 0.8))
        values = {
            "0008|0060": "CT",
            "0008|0018": f"{uid}.{k + 1}",
            "0020|000d": f"{SERIES}.9",
            "0020|000e": uid,
            "0020|0013": str(k + 1),
            "0020|0032": "\\".join(f"{value:.6f}" for value in positions[k]),
            "0020|0037": "\\".join(f"{value:.9f}" for value in directions[:, :2].T.ravel()),
            "0028|1052": "-1024",
            "0028|1053": "1",
        }
        for tag, value in (values | (tags or {})).items():
            image.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{uid[-1]}-{(5 * k) % 7}.dcm"))
        writer.Execute(image)
    return folder
