"""A pre-trained image encoder alone: the published ``vit_pretrain.ckpt``, and files of our own.

Both name its tensors ``model.encoder.…``. What ``segvol pretrain`` writes is a safetensors file
that also holds the configuration of the network that the encoder is for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from segvol_core.checkpoint_file import read_checkpoint_file
from segvol_core.checkpoint_tensors import (
    check_fit,
    named_tensors,
    sound_tensors,
    stored_config,
    write_tensors,
)
from segvol_core.errors import WeightsError
from segvol_core.model.config import SegVolConfig
from segvol_core.model.image_encoder import ImageEncoder
from segvol_core.model.segvol import SegVol
from segvol_core.weights_folder import weights_path

_PREFIX = "model.encoder."


def load_pretrained_encoder(model: SegVol, path: str | Path) -> None:
    """Fill the image encoder of a network from a file; the rest stays as it is.

    What the file holds besides the encoder (the reconstruction head of its pre-training) is not
    used.

    Raises
    ------
    WeightsError
        If the file cannot be read, or its encoder is not the network's; the network is unchanged.
    """
    path = Path(path)
    tensors = named_tensors(read_checkpoint_file(path), path)
    encoder = {
        name.removeprefix(_PREFIX): tensor
        for name, tensor in tensors.items()
        if name.startswith(_PREFIX)
    }
    if not encoder:
        raise WeightsError(f"{path} has no pre-trained image encoder (tensors named {_PREFIX}…).")
    encoder = sound_tensors(encoder, path)
    check_fit(encoder, model.image_encoder.state_dict(), path)
    model.image_encoder.load_state_dict(encoder)


def save_pretrained_encoder(
    encoder: ImageEncoder,
    config: SegVolConfig,
    path: str | Path,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write an image encoder as a safetensors file, whole or not at all.

    Parameters
    ----------
    encoder
        Encoder to save; it is not changed.
    config
        Of the network that it is for: its sizes, and how it wants its images.
    path
        File to write; one that is there is replaced once the new one is complete.
    metadata
        Text to keep with the weights.

    Raises
    ------
    WeightsError
        If the file cannot be written, or a weight is not finite.
    """
    tensors = {_PREFIX + name: tensor for name, tensor in encoder.state_dict().items()}
    write_tensors(tensors, config, Path(path), metadata or {})


def holds_pretrained_encoder(weights: str | Path) -> bool:
    """Whether a file holds an image encoder alone.

    Raises
    ------
    WeightsError
        If the file cannot be read.
    """
    path = weights_path(weights)
    return is_pretrained_encoder(named_tensors(read_checkpoint_file(path), path))


def is_pretrained_encoder(names: Iterable[str]) -> bool:
    """Whether tensors of these names are those of an image encoder alone."""
    return any(name.startswith(_PREFIX) for name in names)


def pretrained_config(path: str | Path) -> SegVolConfig:
    """Configuration of the network that a file's encoder is for.

    Raises
    ------
    WeightsError
        If the file cannot be read, or its configuration makes no sense.
    """
    path = Path(path)
    return stored_config(read_checkpoint_file(path), path)
