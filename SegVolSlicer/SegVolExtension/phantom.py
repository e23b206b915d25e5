"""A CT to test with: a body of soft tissue with two organs, made of ellipsoids and noise.

It stands for nothing anatomical. What matters is that each organ differs from what is around it and
that where it is is known exactly.
"""

from dataclasses import dataclass

import numpy as np

SHAPE_KJI = (48, 96, 96)
SPACING_MM = (3.0, 3.0, 4.0)
"""Along i, j, k."""

_AIR, _FAT, _MUSCLE, _BONE = -1000, -90, 40, 400
_NOISE = 12.0


@dataclass(frozen=True)
class Organ:
    """An ellipsoid.

    Attributes
    ----------
    middle_mm, radii_mm
        From the middle of the volume, along i, j, k.
    hounsfield
        Its value.
    """

    middle_mm: tuple[float, float, float]
    radii_mm: tuple[float, float, float]
    hounsfield: int

    def voxels(self):
        """Mask (k, j, i)."""
        return _inside(self.middle_mm, self.radii_mm)

    @property
    def middle_ijk(self):
        """Voxel in its middle."""
        size = SHAPE_KJI[::-1]
        return tuple(
            round((count - 1) / 2 + middle / spacing)
            for count, middle, spacing in zip(size, self.middle_mm, SPACING_MM, strict=True)
        )


LARGE = Organ((50.0, -10.0, 0.0), (45.0, 40.0, 50.0), 150)
SMALL = Organ((-55.0, 20.0, 0.0), (27.0, 27.0, 32.0), 200)


def phantom():
    """Hounsfield units (k, j, i), int16; the same each time."""
    endless = 10_000.0
    voxels = np.full(SHAPE_KJI, _AIR, dtype=np.float32)
    voxels[_inside((0, 0, 0), (138.0, 100.0, endless))] = _FAT
    voxels[_inside((0, 0, 0), (123.0, 85.0, endless))] = _MUSCLE
    voxels[_inside((0, 55.0, 0), (18.0, 15.0, endless))] = _BONE
    for organ in (LARGE, SMALL):
        voxels[organ.voxels()] = organ.hounsfield
    noise = np.random.default_rng(0).normal(0.0, _NOISE, SHAPE_KJI)
    return (voxels + noise).astype(np.int16)


def _inside(middle_mm, radii_mm):
    """Mask (k, j, i) of an ellipsoid; middle and radii along i, j, k."""
    axes = [
        (np.arange(count) - (count - 1) / 2) * spacing
        for count, spacing in zip(SHAPE_KJI, SPACING_MM[::-1], strict=True)
    ]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    (mx, my, mz), (rx, ry, rz) = middle_mm, radii_mm
    return ((x - mx) / rx) ** 2 + ((y - my) / ry) ** 2 + ((z - mz) / rz) ** 2 < 1
