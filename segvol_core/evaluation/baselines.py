"""What a box is worth by itself: two masks that anyone can make without a network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segvol_core.evaluation.metrics import Mask, bounding_box, dice, region_between


@dataclass(frozen=True)
class Baselines:
    """Dice of the two trivial answers to the exact box of a structure.

    Attributes
    ----------
    box
        All voxels of the box.
    ellipsoid
        The ellipsoid inscribed in the box.
    """

    box: float
    ellipsoid: float

    @property
    def better(self) -> float:
        """The higher of the two, which a network has to beat."""
        return max(self.box, self.ellipsoid)


def baselines(reference: Mask) -> Baselines:
    """Dice of the filled bounding box of a mask, and of the ellipsoid inscribed in it.

    Parameters
    ----------
    reference
        Not empty.
    """
    inside = reference[region_between(*bounding_box(reference))]
    shape = (inside.shape[0], inside.shape[1], inside.shape[2])
    return Baselines(
        box=dice(np.ones(shape, dtype=bool), inside),
        ellipsoid=dice(inscribed_ellipsoid(shape), inside),
    )


def inscribed_ellipsoid(shape: tuple[int, int, int]) -> Mask:
    """Voxels whose centres lie in the ellipsoid that touches the six faces of a box.

    Parameters
    ----------
    shape
        Voxels of the box along each axis.
    """
    squares = [((np.arange(n) + 0.5) / n * 2 - 1) ** 2 for n in shape]
    total = squares[0][:, None, None] + squares[1][:, None] + squares[2]
    return np.asarray(total <= 1)
