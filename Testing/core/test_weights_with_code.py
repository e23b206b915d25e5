"""Code in a checkpoint is never run."""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from checkpoint_files import (
    State,
)
from small_config import SMALL

from segvol_core.errors import WeightsError
from segvol_core.model.segvol import SegVol
from segvol_core.pretrained_encoder import load_pretrained_encoder
from segvol_core.weights import (
    load_model,
    load_state_dict,
)


class Payload:
    """Unpickling it makes a file, which shows that code from a checkpoint was run."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self.marker),)


def save_plain_pickle(contents: object, path: Path) -> None:
    path.write_bytes(pickle.dumps(contents, protocol=2))


def save_legacy_contents(contents: object, path: Path) -> None:
    torch.save(contents, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("save", [torch.save, save_legacy_contents, save_plain_pickle])
def test_code_in_a_checkpoint_is_never_run(
    save: Callable[[object, Path], None], state: State, tmp_path: Path
) -> None:
    path, marker = tmp_path / "SegVol_v1.pth", tmp_path / "was_run"
    tensors = {} if save is save_plain_pickle else state
    save({"model": tensors, "epoch": Payload(marker)}, path)
    with pytest.raises(WeightsError, match=r"contains code \(\w+\.mkdir\).*nothing in it was run"):
        load_model(path, config=SMALL)
    with pytest.raises(WeightsError, match="contains code"):
        load_pretrained_encoder(SegVol(SMALL), path)
    assert not marker.exists()

    # The payload does work where it is not kept from it.
    if save is save_plain_pickle:
        pickle.loads(path.read_bytes())  # noqa: S301
    else:
        torch.load(path, weights_only=False)
    assert marker.exists()


def test_a_whole_pickled_network_is_refused_as_code(small: SegVol, tmp_path: Path) -> None:
    torch.save(small.image_encoder.norm, tmp_path / "module.pth")
    with pytest.raises(WeightsError, match=r"contains code \(torch\.nn\.modules"):
        load_state_dict(tmp_path / "module.pth")


def test_a_torchscript_program_is_refused(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "program.pt"))
    with pytest.raises(WeightsError, match="TorchScript program"):
        load_state_dict(tmp_path / "program.pt")
