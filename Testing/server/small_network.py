"""A network, volumes and prompts small enough for a server to answer in milliseconds."""

from __future__ import annotations

import numpy as np
import torch
from small_config import SMALL_READING as SMALL

from segvol_core.model.segvol import SegVol
from segvol_core.prompts import Box, Point, Prompts
from segvol_core.volume import Volume

__all__ = ["SMALL", "point", "prompts_of_every_kind", "small_network", "small_volume"]

SHAPE = (14, 36, 40)


def small_network(seed: int = 3) -> SegVol:
    torch.manual_seed(seed)
    return SegVol(SMALL).eval()


def small_volume(seed: int = 0, shape: tuple[int, int, int] = SHAPE) -> Volume:
    """Noise in HU, in LPS axes as files store them, 1 x 1 x 2.5 mm."""
    voxels = np.random.default_rng(seed).integers(-1000, 1000, shape).astype(np.int16)
    return Volume(voxels, np.diag([-1.0, -1.0, 2.5, 1.0]))


def point(volume: Volume, k: int, j: int, i: int, positive: bool = True) -> Point:
    r, a, s = volume.ras_of_ijk([i, j, k]).tolist()
    return Point((r, a, s), positive)


def prompts_of_every_kind(volume: Volume) -> dict[str, Prompts]:
    inside = point(volume, 7, 20, 22)
    outside = point(volume, 3, 5, 35, positive=False)
    box = Box.from_bounds(volume.ras_of_ijk([8, 8, 4]), volume.ras_of_ijk([30, 30, 10]))
    return {
        "point": Prompts(points=(inside,)),
        "points": Prompts(points=(inside, outside)),
        "box": Prompts(box=box),
        "text": Prompts(text="liver"),
        "text and point": Prompts(points=(inside,), text="spleen"),
        "text and box": Prompts(box=box, text="left kidney"),
        "all": Prompts(points=(inside, outside), box=box, text="aorta"),
    }
