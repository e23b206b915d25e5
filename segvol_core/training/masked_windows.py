"""Examples of pre-training by number: a window of a CT, and patches of it that are not shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from segvol_core.model.config import SegVolConfig, Size3
from segvol_core.training import augmentation as augment
from segvol_core.training.masked_images import draw_hidden
from segvol_core.training.pretraining_settings import WindowSettings
from segvol_core.training.prompt_simulation import random_voxel
from segvol_core.training.streams import numbered_steps

_ZOOMED_OUT_SHARE = 0.5
"""Windows of inference are zoomed out or in; the published training draws as many of both."""


@dataclass(frozen=True)
class MaskedWindow:
    """A window (D, H, W), and which of its patches (tokens,) are hidden."""

    image: Tensor
    hidden: Tensor


class NumberedWindows:
    """Draws the window of a number from CTs; each has random numbers of its own.

    Parameters
    ----------
    images
        Prepared CTs (D, H, W).
    config
        Sizes of the network.
    """

    def __init__(
        self, images: Sequence[Tensor], config: SegVolConfig, settings: WindowSettings, seed: int
    ) -> None:
        self._images, self._config = images, config
        self._settings, self._seed = settings, seed

    def draw(self, number: int) -> MaskedWindow:
        """The window of a number: a whole CT, or a part of one round a voxel that is not air."""
        settings, rng = self._settings, np.random.default_rng((self._seed, number))
        strength = settings.augmentation
        image = self._images[int(rng.integers(len(self._images)))]
        shape: Size3 = tuple(image.shape)  # type: ignore[assignment]
        overview = augment.draw_overview(
            shape, self._config.window, strength, rng, strength.smallest_part
        )
        geometry = overview.zoomed_out()
        if rng.random() >= _ZOOMED_OUT_SHARE:
            tissue = np.asarray(augment.sample_image(image, geometry) > 0)
            if tissue.any():
                geometry, _ = overview.zoomed_in(random_voxel(tissue, rng).astype(float))
        window = augment.change_grey_values(
            augment.sample_image(image, geometry), rng, strength.grey_values
        )
        hidden = draw_hidden(self._config.grid, settings.hidden_unit, settings.hidden_share, rng)
        return MaskedWindow(window, hidden)

    def steps(self, first: int, rank: int, processes: int) -> Iterator[list[MaskedWindow]]:
        """Endless windows of one process, one list per step, from a step on."""
        return numbered_steps(self.draw, self._settings.volumes, first, rank, processes)
