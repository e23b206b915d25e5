"""`segvol segment --server` writes the file that it writes without."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from command_line import assert_refused, run
from running_server import TOKEN, RunningServer, running_server
from small_network import small_network

from segvol_core.weights import save_model

CT = Path(__file__).parents[1] / "data" / "ct_crop.nii.gz"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_model(small_network(), path)
    return path


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running_server({"small.safetensors": small_network()}) as running:
        yield running


def test_the_file_is_the_same(server: RunningServer, weights: Path, tmp_path: Path) -> None:
    here, there = tmp_path / "here.nii.gz", tmp_path / "there.nii.gz"
    common = ("segment", CT, "--text", "liver, spleen", "--json", "-o")
    assert run(*common, here, "--weights", weights).exit_code == 0
    result = run(
        *common, there, "--server", server.url, "--token", TOKEN, "--weights", "small.safetensors"
    )
    assert result.exit_code == 0, result.output
    masks = [SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))) for path in (here, there)]
    assert masks[0].any()
    assert np.array_equal(*masks)
    said = json.loads(result.stdout)
    assert said["device"] == "cpu"
    assert said["windows"] == "as the server was started"
    # Nothing is left on the server.
    assert server.engine._volumes.used_bytes == 0


def test_the_names_are_the_same(server: RunningServer, weights: Path, tmp_path: Path) -> None:
    common = ("segment", CT, "--point-ijk", "20,20,8", "--identify", "--json", "-o")
    here = run(*common, tmp_path / "here.nii.gz", "--weights", weights)
    address = ("--server", server.url, "--token", TOKEN, "--weights", "small.safetensors")
    there = run(*common, tmp_path / "there.nii.gz", *address)
    names = [json.loads(each.stdout)["segments"][0]["names"] for each in (here, there)]
    assert names[0] == names[1]
    assert len(names[0]) == 3


def test_the_token_may_come_from_the_environment(
    server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGVOL_TOKEN", TOKEN)
    result = run(
        "segment", CT, "--text", "liver", "-o", tmp_path / "out.seg.nrrd", "--server", server.url
    )
    assert result.exit_code == 0, result.output
    assert TOKEN not in result.output


def test_what_the_server_refuses_is_one_line(server: RunningServer, tmp_path: Path) -> None:
    output = tmp_path / "out.seg.nrrd"
    common = ("segment", CT, "-o", output, "--text", "liver", "--server")
    assert_refused(run(*common, server.url, "--token", "wrong"), "needs its token")
    assert_refused(run(*common, "http://127.0.0.1:9", "--token", "x"), "cannot be reached")
    assert_refused(run(*common, "http://ct.example", "--token", "x"), "over https only")
    unknown = run(*common, server.url, "--token", TOKEN, "--weights", "segvol")
    assert_refused(unknown, "no such model")
    assert not output.exists()
