"""A real CT, small networks, and the command with both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
import torch
from command_line import run
from segment_command import CROP, Segment
from small_config import SMALL
from typer.testing import Result

from segvol_core import organs
from segvol_core.model.segvol import SegVol
from segvol_core.session import Session
from segvol_core.volume import Volume
from segvol_core.volume_io import read_volume
from segvol_core.weights import load_model, save_model


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="session")
def ct(folder: Path) -> Path:
    """A real CT whose axes run to the left, back and up, with the origin in its middle."""
    image = SimpleITK.DICOMOrient(SimpleITK.ReadImage(str(CROP)), "LPS")
    middle = image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in image.GetSize()])
    image.SetOrigin(np.subtract(image.GetOrigin(), middle).tolist())
    SimpleITK.WriteImage(image, str(folder / "ct.nii.gz"))
    return folder / "ct.nii.gz"


@pytest.fixture(scope="session")
def volume(ct: Path) -> Volume:
    return read_volume(ct)


@pytest.fixture(scope="session")
def weights(folder: Path, small: SegVol) -> Path:
    save_model(small, folder / "tiny.safetensors")
    return folder / "tiny.safetensors"


@pytest.fixture(scope="session")
def session(volume: Volume, weights: Path) -> Session:
    return Session(load_model(weights), volume)


@pytest.fixture(scope="session")
def choosy_weights(folder: Path) -> Path:
    """A network that marks every voxel for "liver" and none for "spleen" or a point."""
    torch.manual_seed(0)
    model = SegVol(SMALL).eval()
    decoder = model.mask_decoder
    with torch.no_grad():
        liver, spleen = model.text_encoder([organs.find(n).prompt for n in ("liver", "spleen")])
        decoder.output_upscaling[3].weight.fill_(0)
        decoder.output_upscaling[3].bias.fill_(1)
        decoder.output_hypernetworks_mlps[0].layers[2].weight.fill_(0)
        decoder.output_hypernetworks_mlps[0].layers[2].bias.fill_(0)
        towards_liver = liver - spleen
        decoder.txt_align_upscaled_embedding.weight.copy_(
            towards_liver.expand(decoder.txt_align_upscaled_embedding.weight.shape)
        )
        decoder.txt_align_upscaled_embedding.bias.fill_(-towards_liver @ (liver + spleen) / 2)
    save_model(model, folder / "choosy.safetensors")
    return folder / "choosy.safetensors"


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Path]:
    """Where to write; whatever happens, nothing unfinished stays there."""
    yield tmp_path / "out.seg.nrrd"
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []


@pytest.fixture
def segment(ct: Path, weights: Path, out: Path) -> Segment:
    """Run `segvol segment` with the tiny network; later options go before earlier ones."""

    def with_options(*options: object) -> Result:
        return run("segment", ct, "-o", out, "--weights", weights, *options)

    return with_options
