"""Weights: the published layouts, the bundled starter, and files of our own.

Whatever the layout, :func:`load_state_dict` gives the same tensors under the same names, those of
:class:`~segvol_core.model.segvol.SegVol`. Our own files are safetensors with the network's
configuration in their metadata, so that a file is all that is needed to rebuild a network.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from segvol_core.checkpoint_file import CheckpointFile, read_checkpoint_file
from segvol_core.checkpoint_tensors import (
    check_fit,
    named_tensors,
    sound_tensors,
    stored_config,
    write_tensors,
)
from segvol_core.errors import WeightsError
from segvol_core.model.config import PUBLISHED, SegVolConfig
from segvol_core.model.segvol import SegVol
from segvol_core.pretrained_encoder import is_pretrained_encoder
from segvol_core.weights_folder import STARTER, weights_path

# What the names of the published files begin with.
_PREFIXES = ("module.", "model.")

# transformers dropped the level `text_model` of CLIP's modules in 5.6.
_FLAT_CLIP = re.compile(r"^text_encoder\.clip_text_model\.(?!text_model\.)")
_NESTED_CLIP = "text_encoder.clip_text_model.text_model."
# 0 … 76, which transformers before 4.31 saved with the weights.
_POSITION_IDS = _NESTED_CLIP + "embeddings.position_ids"


def load_model(
    weights: str | Path = STARTER,
    device: torch.device | str = "cpu",
    *,
    config: SegVolConfig | None = None,
) -> SegVol:
    """Build a network with its weights, in evaluation mode and single precision.

    Parameters
    ----------
    weights
        ``"starter"``, ``"segvol"``, or a checkpoint file in any layout.
    device
        Where the network goes.
    config
        Sizes of the network; by default those stored in the file, or the published ones.

    Raises
    ------
    WeightsError
        If the file cannot be read, or does not hold exactly the tensors of the network.
    """
    path = weights_path(weights)
    checkpoint = read_checkpoint_file(path)
    state = _state_dict(checkpoint, path)
    model = _empty_model(config or stored_config(checkpoint, path), path)
    check_fit(state, model.state_dict(), path)
    # A copy: tensors left in the file would tie the network to it, and lie in memory as the layout
    # has it, which changes the last bits of a matrix product.
    copies = {name: tensor.to(device, copy=True) for name, tensor in state.items()}
    model.load_state_dict(copies, assign=True)
    return model.eval()


def load_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Tensors of a checkpoint in any layout, under the names that ``SegVol`` gives them.

    Read are ``SegVol_v1.pth``, ``pytorch_model.bin``, safetensors files of the same layouts, and
    our own. Half precision becomes single precision. Tensors may be read from the file when first
    used, so it must not be written to meanwhile.

    Raises
    ------
    WeightsError
        If the file cannot be read, or holds anything but finite floating-point tensors.
    """
    path = Path(path)
    return _state_dict(read_checkpoint_file(path), path)


def load_metadata(weights: str | Path = STARTER) -> dict[str, str]:
    """Text stored in a checkpoint beside its tensors: its configuration, what made it.

    Files in a PyTorch format have none.

    Raises
    ------
    WeightsError
        If the file cannot be read.
    """
    return dict(read_checkpoint_file(weights_path(weights)).metadata)


def save_model(
    model: SegVol,
    path: str | Path,
    metadata: Mapping[str, str] | None = None,
    *,
    half: bool = False,
) -> None:
    """Write a network and its configuration as a safetensors file, whole or not at all.

    Parameters
    ----------
    model
        Network to save; it is not changed.
    path
        File to write; one that is there is replaced once the new one is complete.
    metadata
        Text to keep with the weights; ``"config"`` is the network's configuration.
    half
        Store in half precision, in half the space; :func:`load_model` gives single precision.

    Raises
    ------
    WeightsError
        If the file cannot be written, or a weight is not finite (in half precision: beyond 65504).
    """
    write_tensors(model.state_dict(), model.config, Path(path), metadata or {}, half=half)


def check_weights(path: str | Path, config: SegVolConfig = PUBLISHED) -> None:
    """Make sure that a file holds exactly the tensors of a network of these sizes.

    Raises
    ------
    WeightsError
        If it does not; the message names tensors that are missing, unknown or of another shape.
    """
    path = Path(path)
    check_fit(load_state_dict(path), _empty_model(config, path).state_dict(), path)


def _state_dict(checkpoint: CheckpointFile, path: Path) -> dict[str, Tensor]:
    tensors = named_tensors(checkpoint, path)
    if is_pretrained_encoder(tensors):
        raise WeightsError(
            f"{path} is a pre-trained image encoder alone (as vit_pretrain.ckpt), from which "
            "a network can be trained; it cannot segment."
        )
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    tensors = {_FLAT_CLIP.sub(_NESTED_CLIP, name): value for name, value in tensors.items()}
    tensors.pop(_POSITION_IDS, None)
    return sound_tensors(tensors, path)


def _empty_model(config: SegVolConfig, path: Path) -> SegVol:
    """Build a network that has shapes but no memory and no values yet."""
    try:
        with torch.device("meta"), _SkipInitialisation():
            return SegVol(config)
    except (ArithmeticError, RuntimeError, TypeError, ValueError) as error:
        raise WeightsError(f"{path} has a configuration that makes no sense: {error}.") from error


class _SkipInitialisation(TorchFunctionMode):
    """Draws no first values: on the meta device there are none, and drawing them loads a compiler.

    ``torch.nn.init.normal_`` on that device imports ``torch._dynamo``, which takes a second or two.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        del types
        given = kwargs or {}
        if func in (nn.init.normal_, nn.init.trunc_normal_, nn.init.kaiming_uniform_):
            return given["tensor"] if "tensor" in given else args[0]
        return func(*args, **given)
