"""What came of a prompt, wherever it was computed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Answer:
    """The final mask (k, j, i), and when coarse and final mask came, in seconds of segmenting."""

    mask: npt.NDArray[np.bool_]
    coarse_seconds: float
    final_seconds: float
