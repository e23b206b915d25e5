"""What `segvol pretrain` is told: a YAML file with these fields, and no others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from segvol_core.training.augmentation import PUBLISHED
from segvol_core.training.masked_images import PUBLISHED_SHARE
from segvol_core.training.run_settings import (
    STRICT,
    Augmentation,
    Count,
    RunSettings,
    read_settings_file,
)


@dataclass(frozen=True, config=STRICT)
class WindowSettings:
    """How windows are drawn from CTs, and what of them is hidden.

    Attributes
    ----------
    volumes
        Windows per step and process. Their gradients are accumulated one after the other, so more
        of them take time and no memory.
    hidden_share
        Share of the patches that the encoder does not see.
    hidden_unit
        Neighbouring patches (z, y, x) that are hidden together. Where patches are small, larger
        units keep the encoder from guessing a patch from its neighbours.
    augmentation
        As for ``segvol train``; windows lie round any voxel that is not air.
    """

    volumes: Count = 4
    hidden_share: Annotated[float, Field(gt=0, lt=1)] = PUBLISHED_SHARE
    hidden_unit: tuple[Count, Count, Count] = (1, 1, 1)
    augmentation: Augmentation = PUBLISHED


@dataclass(frozen=True, config=STRICT)
class PretrainingSettings(RunSettings):
    """A pre-training: of a new network's image encoder, or of that of the weights to start from."""

    examples: WindowSettings = Field(default_factory=WindowSettings)


def read_pretraining_settings(path: Path) -> PretrainingSettings:
    """Settings of a YAML file; paths in it are relative to its folder.

    Raises
    ------
    SettingsError
        If it cannot be read, a field is not known, missing or wrong, or fields contradict each
        other.
    """
    return read_settings_file(path, PretrainingSettings)
