"""What reading and writing images with SimpleITK share: geometry between RAS and LPS, and silence.

ITK keeps positions in LPS millimetres, as spacing, origin and a direction matrix whose columns are
the unit vectors of the i, j and k axes.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import SimpleITK

from segvol_core.volume import FloatArray

LPS_TO_RAS: FloatArray = np.diag([-1.0, -1.0, 1.0, 1.0])
"""Swaps the signs of x and y; its own inverse."""


@contextmanager
def quiet_itk() -> Iterator[None]:
    """Keep ITK from printing: what it says names files, and goes past Python's warnings."""
    shown = SimpleITK.ProcessObject.GetGlobalWarningDisplay()
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        SimpleITK.ProcessObject.SetGlobalWarningDisplay(shown)


def ijk_to_ras_of(image: SimpleITK.Image) -> FloatArray:
    """4 x 4 matrix from voxel indices (i, j, k) of a 3-D image to RAS millimetres."""
    ijk_to_lps = np.eye(4)
    direction = np.reshape(image.GetDirection(), (3, 3))
    ijk_to_lps[:3, :3] = direction * np.asarray(image.GetSpacing())
    ijk_to_lps[:3, 3] = image.GetOrigin()
    return LPS_TO_RAS @ ijk_to_lps


def place_image(image: SimpleITK.Image, ijk_to_ras: FloatArray) -> None:
    """Give a 3-D image the spacing, origin and direction of a 4 x 4 matrix to RAS millimetres."""
    ijk_to_lps = LPS_TO_RAS @ ijk_to_ras
    spacing = np.linalg.norm(ijk_to_lps[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(ijk_to_lps[:3, 3].tolist())
    image.SetDirection((ijk_to_lps[:3, :3] / spacing).ravel().tolist())
