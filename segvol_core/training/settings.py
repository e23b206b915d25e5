"""What `segvol train` is told: a YAML file with these fields, and no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field
from pydantic.dataclasses import dataclass

from segvol_core.training.augmentation import Strength
from segvol_core.training.run_settings import (
    STRICT,
    Augmentation,
    Count,
    Positive,
    RunSettings,
    Share,
    parse_settings_of,
    read_settings_file,
)


@dataclass(frozen=True, config=STRICT)
class ExampleSettings:
    """How examples are drawn from cases.

    Attributes
    ----------
    volumes
        Windows per step and process. Their gradients are accumulated one after the other, so more
        of them take time and no memory.
    batches, masks
        Kinds of prompts per window, and masks per kind.
    named_windows
        More windows per volume, for a name network if there is one: they are cheap.
    unlabelled_share
        Share of examples from cases without labels, where there are some.
    text_weight
        How much more often names are asked for than in the starter's recipe.
    mirror_names
        Whether left and right may be swapped together with their names: heads, never trunks.
    augmentation
        How far geometry and grey values are changed, and where windows lie; ``published`` for what
        the published training does.
    """

    volumes: Count = 1
    batches: Count = 2
    masks: Count = 6
    named_windows: Count = 4
    unlabelled_share: Share = 0.2
    text_weight: Positive = 1.5
    mirror_names: bool = False
    augmentation: Augmentation = Field(default_factory=lambda: Strength(flips=(0.08, 0.08, 0.35)))


@dataclass(frozen=True, config=STRICT)
class ValidationSettings:
    """When to look how good the network has become.

    Attributes
    ----------
    every_steps
        Steps between two looks.
    cases
        At most so many cases are looked at.
    patience
        The training ends after so many looks without a better mean Dice; None never ends it early.
    """

    every_steps: Count = 200
    cases: Count = 5
    patience: Count | None = None


@dataclass(frozen=True, config=STRICT)
class TrainingSettings(RunSettings):
    """A training, by default one that goes on from the starter.

    Attributes
    ----------
    freeze
        Parts of the network that stay as they are, such as ``image_encoder``, ``text_encoder``,
        ``prompt_encoder``, ``mask_decoder``, or a part of a part.
    """

    start: str | None = "starter"
    freeze: tuple[str, ...] = ()
    examples: ExampleSettings = Field(default_factory=ExampleSettings)
    validation: ValidationSettings = Field(default_factory=ValidationSettings)


def read_settings(path: Path) -> TrainingSettings:
    """Settings of a YAML file; paths in it are relative to its folder.

    Raises
    ------
    SettingsError
        If it cannot be read, a field is not known, missing or wrong, or fields contradict each
        other.
    """
    return read_settings_file(path, TrainingSettings)


def parse_settings(values: Any, path: Path) -> TrainingSettings:
    """Settings from the plain values of a file.

    Raises
    ------
    SettingsError
        As :func:`read_settings`.
    """
    return parse_settings_of(values, path, TrainingSettings)
