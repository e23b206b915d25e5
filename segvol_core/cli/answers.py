"""What came of a prompt, wherever it was computed."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Answer:
    """The final mask (k, j, i), and when coarse and final mask came, in seconds of segmenting.

    Attributes
    ----------
    names
        Names that fit the mask best with their probabilities, where they were asked for.
    """

    mask: npt.NDArray[np.bool_]
    coarse_seconds: float
    final_seconds: float
    names: dict[str, float] = field(default_factory=dict)
