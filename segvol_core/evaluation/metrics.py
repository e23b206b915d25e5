"""How alike two masks are."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from segvol_core.errors import SegVolError

Mask = NDArray[np.bool_]

TOLERANCE_MM = 3.0
"""Distance at which a surface still counts as found: about one slice of a usual CT."""

_PERCENTILE = 95

_WITHOUT_MONAI = (
    "Surface distances need MONAI, which is not installed: pip install 'segvol[evaluate]'."
)


def dice(first: Mask, second: Mask) -> float:
    """Dice coefficient of two masks of one shape, 0 to 1; 1 where both are empty."""
    total = int(np.count_nonzero(first)) + int(np.count_nonzero(second))
    if total == 0:
        return 1.0
    return 2 * int(np.count_nonzero(first & second)) / total


def surface_dice(
    predicted: Mask,
    reference: Mask,
    spacing_mm: tuple[float, float, float],
    tolerance_mm: float = TOLERANCE_MM,
) -> float:
    """Part of both surfaces that lies within a tolerance of the other, 0 to 1.

    The normalised surface distance of Nikolov et al. (arXiv:1809.04430), as MONAI computes it with
    surface elements between voxels. 1 where both masks are empty, 0 where one is.

    Parameters
    ----------
    predicted, reference
        Of one shape.
    spacing_mm
        Voxel size along the axes of the masks.
    tolerance_mm
        Distance up to which a surface counts as found.

    Raises
    ------
    SegVolError
        If MONAI is not installed.
    """
    if not predicted.any() or not reference.any():
        return float(predicted.any() == reference.any())
    # MONAI crops as well, but far more slowly on a whole CT.
    region = _region_of(predicted | reference)
    score = _monai_surface_dice()(
        torch.from_numpy(np.ascontiguousarray(predicted[region]))[None, None],
        torch.from_numpy(np.ascontiguousarray(reference[region]))[None, None],
        class_thresholds=[tolerance_mm],
        include_background=True,
        spacing=[float(mm) for mm in spacing_mm],
        use_subvoxels=True,
    )
    return float(score)


def hausdorff95(
    predicted: Mask, reference: Mask, spacing_mm: tuple[float, float, float]
) -> float | None:
    """95th percentile of the distances from each surface to the other, in millimetres.

    The larger of the two directions, between the centres of surface voxels. 0 where both masks
    are empty, None where one is: nothing is at a distance then.

    Parameters
    ----------
    predicted, reference
        Of one shape.
    spacing_mm
        Voxel size along the axes of the masks.

    Raises
    ------
    SegVolError
        If MONAI is not installed.
    """
    if not predicted.any() or not reference.any():
        return 0.0 if predicted.any() == reference.any() else None
    region = _region_of(predicted | reference)
    _, distances, _ = _monai_surface_distances()(
        torch.from_numpy(np.ascontiguousarray(predicted[region])),
        torch.from_numpy(np.ascontiguousarray(reference[region])),
        spacing=[float(mm) for mm in spacing_mm],
        symmetric=True,
    )
    # MONAI takes the percentile with torch.quantile, which refuses more than 16 million distances.
    return max(float(np.percentile(each.numpy(), _PERCENTILE)) for each in distances)


def bounding_box(mask: Mask) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last index (3,), both included, of a mask that is not empty."""
    low, high = [], []
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        indices = np.flatnonzero(mask.any(axis=others))
        low.append(indices[0])
        high.append(indices[-1])
    return np.array(low, dtype=np.int64), np.array(high, dtype=np.int64)


def region_between(low: NDArray[np.int64], high: NDArray[np.int64]) -> tuple[slice, slice, slice]:
    """Slices from the first to the last index, both included."""
    first, second, third = (slice(int(a), int(b) + 1) for a, b in zip(low, high, strict=True))
    return first, second, third


def _region_of(mask: Mask) -> tuple[slice, slice, slice]:
    return region_between(*bounding_box(mask))


def _monai_surface_dice() -> Any:
    """MONAI's function; imported when needed, because that takes seconds."""
    try:
        from monai.metrics.surface_dice import compute_surface_dice  # noqa: PLC0415
    except ImportError as error:
        raise SegVolError(_WITHOUT_MONAI) from error
    return compute_surface_dice


def _monai_surface_distances() -> Any:
    """MONAI's function; imported when needed, because that takes seconds."""
    try:
        from monai.metrics.utils import get_edge_surface_distance  # noqa: PLC0415
    except ImportError as error:
        raise SegVolError(_WITHOUT_MONAI) from error
    return get_edge_surface_distance
