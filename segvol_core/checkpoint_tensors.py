"""The tensors of a checkpoint: found in whatever layout, checked, and written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from segvol_core.checkpoint_file import CheckpointFile
from segvol_core.errors import WeightsError
from segvol_core.model.config import PUBLISHED, SegVolConfig
from segvol_core.whole_files import written_whole

_CONFIG_KEY = "config"

# Where the published files keep their state dict.
_CONTAINERS = ("model", "state_dict")

_NAMES_IN_A_MESSAGE = 5


def named_tensors(checkpoint: CheckpointFile, path: Path) -> dict[str, Tensor]:
    """Tensors of a file under the names that it gives them.

    Raises
    ------
    WeightsError
        If there are none, or something else among them.
    """
    contents = checkpoint.contents
    for key in _CONTAINERS:
        inner = contents.get(key)
        if isinstance(inner, dict):
            contents = inner
            break
    tensors = {str(name): value for name, value in contents.items() if isinstance(value, Tensor)}
    others = [str(name) for name in contents if str(name) not in tensors]
    if not tensors:
        raise WeightsError(f"{path} holds no tensors.")
    if others:
        raise WeightsError(f"{path} holds something else than tensors: {_listed(others)}.")
    return tensors


def sound_tensors(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Single precision, and numbers that a network can work with.

    Raises
    ------
    WeightsError
        If a tensor is no plain array of finite numbers.
    """
    odd = [
        name
        for name, tensor in tensors.items()
        if not tensor.is_floating_point() or tensor.layout != torch.strided
    ]
    if odd:
        raise WeightsError(f"{path} has tensors that are no plain numbers: {_listed(odd)}.")
    sound = {name: tensor.detach().to(torch.float32) for name, tensor in tensors.items()}
    _check_finite(sound, str(path))
    return sound


def check_fit(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], path: Path) -> None:
    """Make sure that tensors have the names and shapes of a network's.

    Raises
    ------
    WeightsError
        If not; the message names tensors that are missing, unknown or of another shape.
    """
    missing = [name for name in expected if name not in tensors]
    unknown = [name for name in tensors if name not in expected]
    misshapen = [
        f"{name} {tuple(tensors[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in tensors and tensors[name].shape != tensor.shape
    ]
    kinds = (("missing", missing), ("unknown", unknown), ("of another shape", misshapen))
    found = [f"{len(names)} {kind}: {_listed(names)}" for kind, names in kinds if names]
    if found:
        raise WeightsError(
            f"{path} is not a checkpoint of this network. Tensors " + "; ".join(found) + "."
        )


def stored_config(checkpoint: CheckpointFile, path: Path) -> SegVolConfig:
    """Sizes that a file of our own holds; those of the published network where it holds none.

    Raises
    ------
    WeightsError
        If they make no sense.
    """
    text = checkpoint.metadata.get(_CONFIG_KEY)
    if text is None:
        return PUBLISHED
    try:
        return SegVolConfig.from_dict(json.loads(text))
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise WeightsError(f"{path} has a configuration that makes no sense: {error}.") from error


def write_tensors(
    tensors: Mapping[str, Tensor],
    config: SegVolConfig,
    path: Path,
    metadata: Mapping[str, str],
    *,
    half: bool = False,
) -> None:
    """Write tensors and sizes of a network as a safetensors file, whole or not at all.

    Raises
    ------
    WeightsError
        If the file cannot be written, or a value is not finite (in half precision: beyond 65504).
    """
    dtype = torch.float16 if half else torch.float32
    stored = {
        name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in tensors.items()
    }
    _check_finite(stored, f"{path} was not written: the network")
    try:
        with written_whole(path) as unfinished:
            unfinished.touch()
            usual = unfinished.stat().st_mode  # safetensors' files are for their owner alone.
            safetensors.torch.save_file(
                stored, unfinished, {**metadata, _CONFIG_KEY: json.dumps(config.to_dict())}
            )
            unfinished.chmod(usual)
    except (OSError, safetensors.SafetensorError) as error:
        raise WeightsError(f"{path} cannot be written: {error}") from error


def _check_finite(tensors: Mapping[str, Tensor], subject: str) -> None:
    infinite = [name for name, tensor in tensors.items() if not tensor.isfinite().all()]
    if infinite:
        raise WeightsError(f"{subject} has values that are not finite: {_listed(infinite)}.")


def _listed(names: Iterable[str]) -> str:
    shown = list(names)
    first = ", ".join(shown[:_NAMES_IN_A_MESSAGE])
    return first if len(shown) <= _NAMES_IN_A_MESSAGE else f"{first}, …"
