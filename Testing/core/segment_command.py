"""`segvol segment` as tests run it, and what is in the files that it writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import slicerio
from typer.testing import Result

Segment = Callable[..., Result]
CROP = Path(__file__).parents[1] / "data" / "ct_crop.nii.gz"
POINT = "-12,3.5,4"
BOX = "-40,-40,-20,30,35,25"


def masks_in(path: Path) -> dict[str, npt.NDArray[np.bool_]]:
    """Masks (k, j, i) of a .seg.nrrd by name."""
    found = slicerio.read_segmentation(str(path))
    return {s["name"]: slicerio.segment_mask(found, s).T for s in found["segments"]}


def only_mask_in(path: Path) -> npt.NDArray[np.bool_]:
    (mask,) = masks_in(path).values()
    return mask


def terminology_of(written: dict[str, Any]) -> str:
    return slicerio.segmentation.terminology_entry_to_string(written["terminology"])
