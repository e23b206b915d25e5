"""Masks of blocks, and a made CT with five labels."""

from __future__ import annotations

import numpy as np


def block(shape: tuple[int, ...], low: tuple[int, ...], high: tuple[int, ...]) -> np.ndarray:
    """Mask of the voxels from one corner up to another."""
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return mask


CUBE = block((20, 20, 20), (5, 5, 5), (15, 15, 15))

LABEL_VALUES = {"liver": 1, "spleen": 2, "duodenum": 3, "unheard_of": 4, "heart": 9}


def ct_and_labels() -> tuple[np.ndarray, np.ndarray]:
    """Hounsfield units and labels: a tiny duodenum, a spleen cut off by the edge, no heart."""
    rng = np.random.default_rng(0)
    hounsfield = rng.normal(-600, 150, (12, 40, 40))
    labels = np.zeros((12, 40, 40), dtype=np.uint8)
    labels[3:9, 8:20, 10:24] = 1
    labels[0:5, 25:33, 5:15] = 2
    labels[10, 36:38, 36:38] = 3
    labels[2:7, 22:30, 25:35] = 4
    return (hounsfield + 700 * (labels > 0)).astype(np.int16), labels
