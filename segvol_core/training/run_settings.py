"""What every kind of training is told in a YAML file, and how that file is read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from segvol_core.errors import SegVolError
from segvol_core.training.augmentation import PUBLISHED, Strength
from segvol_core.training.data.named_folder import sentences
from segvol_core.training.data.records import VALIDATION_SHARE
from segvol_core.training.optimisers import OptimiserName
from segvol_core.training.precision import Precision

STRICT = ConfigDict(extra="forbid")


def _by_name(value: Any) -> Any:
    """Changes that have a name."""
    if not isinstance(value, str):
        return value
    if value != "published":
        raise ValueError("give “published”, or fields such as “scale: 1.2”")
    return PUBLISHED


Augmentation = Annotated[Strength, BeforeValidator(_by_name)]
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1, strict=True)]
"""Strict, since YAML's ``yes`` would else be 1."""
Positive = Annotated[float, Field(gt=0)]


class SettingsError(SegVolError):
    """Training settings that cannot be read or do not fit each other."""


@dataclass(frozen=True, config=STRICT)
class DataSettings:
    """What to train on.

    Attributes
    ----------
    folders
        Training folders, each in any layout.
    validation
        Share of the labelled cases that is kept for validation where a folder names none, or names
        of cases.
    cases
        Names of the cases to train on, with ``*`` and ``?`` for what may differ; without it all.
        Cases for validation are kept whatever they are called.
    cache
        Folder that keeps prepared cases, which are then read when they are used; without it all
        are in memory.
    """

    folders: Annotated[tuple[Path, ...], Field(min_length=1)]
    validation: Share | tuple[str, ...] = VALIDATION_SHARE
    cases: tuple[str, ...] = ()
    cache: Path | None = None


@dataclass(frozen=True, config=STRICT)
class OptimiserSettings:
    """How fast to learn; the fields are those of ``LoopSettings``."""

    name: OptimiserName = "muon"
    learning_rate: Positive = 2e-4
    weight_decay: Annotated[float, Field(ge=0)] = 0.05
    warmup_steps: Count = 50
    largest_gradient: Positive = 1.0
    average_decay: Annotated[float, Field(ge=0, lt=1)] = 0.998


@dataclass(frozen=True, config=STRICT)
class RunSettings:
    """What all kinds of training have in common.

    Attributes
    ----------
    output
        Folder for weights, checkpoint and log.
    start
        ``starter``, ``segvol``, a checkpoint file, a pre-trained encoder such as
        ``vit_pretrain.ckpt``, or None to learn from nothing.
    network
        Sizes of a network that learns from nothing: ``starter``, ``segvol``, or fields of
        ``SegVolConfig``.
    steps, minutes, epochs
        Bounds, at least one; the first that is reached ends the training. An epoch is as many
        windows as there are cases. With ``minutes`` a training cannot be repeated exactly.
    precision
        Of matrix products. ``auto`` is bfloat16, but float32 on processors without AVX-512, which
        are very slow at it. On GPUs it needs NVIDIA's Ampere (2020) or later to be fast; for older
        ones there is float16, with the loss scaled.
    checkpoint_steps
        Steps between two checkpoints.
    seed
        Same seed and settings give the same weights on the same machine.
    device
        As for all commands.
    processes
        Processes that share the work on a CPU, one core each. For several GPUs or machines use
        torchrun.
    threads
        Of a single process on a CPU. With more than one, sums have no fixed order, so that a
        training does not repeat to the last digit.
    """

    data: DataSettings
    output: Path
    start: str | None = None
    network: Literal["starter", "segvol"] | dict[str, Any] | None = None
    steps: Count | None = None
    minutes: Positive | None = None
    epochs: Positive | None = None
    optimiser: OptimiserSettings = Field(default_factory=OptimiserSettings)
    precision: Precision = "auto"
    checkpoint_steps: Count = 100
    seed: Annotated[int, Field(ge=0)] = 0
    device: str = "auto"
    processes: Count = 1
    threads: Count = 1


Kind = TypeVar("Kind", bound=RunSettings)

_MAY_DIFFER = ("output", "device", "threads", "checkpoint_steps")
"""What a training may be resumed with another value of."""


def read_settings_file(path: Path, kind: type[Kind]) -> Kind:
    """Settings of a YAML file; paths in it are relative to its folder.

    Parameters
    ----------
    path
        The file.
    kind
        Dataclass of the settings.

    Raises
    ------
    SettingsError
        If it cannot be read, a field is not known, missing or wrong, or fields contradict each
        other.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is no text in UTF-8.") from error
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}.") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"{path} is no YAML{_where(error)}.") from error
    return parse_settings_of(values, path, kind)


def parse_settings_of(values: Any, path: Path, kind: type[Kind]) -> Kind:
    """Settings from the plain values of a file.

    Raises
    ------
    SettingsError
        As :func:`read_settings_file`.
    """
    if not isinstance(values, dict):
        raise SettingsError(f"{path} holds no settings; it must begin with fields such as “data:”.")
    folder = path.resolve().parent
    try:
        settings = TypeAdapter(kind).validate_python(_absolute(values, folder))
    except ValidationError as error:
        raise SettingsError(f"{path}: {sentences(error)}") from error
    if settings.steps is None and settings.minutes is None and settings.epochs is None:
        raise SettingsError(f"{path}: give “steps”, “minutes” or “epochs”.")
    if (settings.network is None) == (settings.start is None):
        raise SettingsError(
            f"{path}: “network” belongs to a training from nothing, with “start: null”; "
            "give one of the two."
        )
    return settings


def _where(error: yaml.YAMLError) -> str:
    """What is wrong with a text and in which line, if that is known."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return ""
    return f": {error.problem} in line {error.problem_mark.line + 1}"


def comparable(settings: RunSettings) -> dict[str, Any]:
    """Plain values of all settings that a resumed training must share with the first part."""
    values: dict[str, Any] = TypeAdapter(type(settings)).dump_python(settings, mode="json")
    values["data"].pop("cache")
    return {name: value for name, value in values.items() if name not in _MAY_DIFFER}


def _absolute(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    found = dict(values)
    if isinstance(found.get("output"), str):
        found["output"] = folder / Path(found["output"]).expanduser()
    start = found.get("start")
    if isinstance(start, str) and (folder / Path(start).expanduser()).is_file():
        found["start"] = str(folder / Path(start).expanduser())
    data = found.get("data")
    if isinstance(data, str):  # the folder alone
        data = {"folders": [data]}
    if isinstance(data, dict):
        data = dict(data)
        if isinstance(data.get("folders"), str):
            data["folders"] = [data["folders"]]
        if isinstance(data.get("folders"), list):
            data["folders"] = [
                folder / Path(each).expanduser() if isinstance(each, str) else each
                for each in data["folders"]
            ]
        if isinstance(data.get("cache"), str):
            data["cache"] = folder / Path(data["cache"]).expanduser()
        found["data"] = data
    return found
