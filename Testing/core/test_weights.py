"""Checkpoints: every published layout gives the same network, and a bad file a clear sentence."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from published_figures import DATA
from small_config import SMALL
from torch import Tensor

from segvol_core import weights_folder as weights_folder_module
from segvol_core.errors import WeightsError
from segvol_core.model.segvol import SegVol
from segvol_core.pretrained_encoder import load_pretrained_encoder
from segvol_core.weights import (
    check_weights,
    load_metadata,
    load_model,
    load_state_dict,
    save_model,
)
from segvol_core.weights_folder import segvol_file, weights_folder, weights_path

State = dict[str, Tensor]
Saver = Callable[[State, Path], None]

CLIP = "text_encoder.clip_text_model.text_model."
FIRST_BIAS = "image_encoder.patch_embedding.patch_embeddings.1.bias"


@pytest.fixture(scope="module")
def state(small: SegVol) -> State:
    return {name: tensor.clone() for name, tensor in small.state_dict().items()}


def prefixed(prefix: str, state: State) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def save_training_checkpoint(state: State, path: Path) -> None:
    """As ``SegVol_v1.pth``: what ``DistributedDataParallel`` and AdamW leave."""
    moments = {
        index: {"step": torch.tensor(7.0), "exp_avg": torch.zeros_like(tensor)}
        for index, tensor in enumerate(state.values())
    }
    groups = [{"lr": 1e-4, "betas": (0.9, 0.999), "params": list(moments)}]
    optimizer = {"state": moments, "param_groups": groups}
    torch.save({"model": prefixed("module.", state), "epoch": 500, "optimizer": optimizer}, path)


def save_hub_checkpoint(state: State, path: Path) -> None:
    """As ``pytorch_model.bin``."""
    torch.save(prefixed("model.", state), path)


def save_legacy(state: State, path: Path) -> None:
    """In the format before PyTorch 1.6, which is not a zip archive."""
    torch.save(prefixed("model.", state), path, _use_new_zipfile_serialization=False)


def save_encoder(state: State, path: Path) -> None:
    """As ``vit_pretrain.ckpt``, with the reconstruction head that its size tells of."""
    encoder = {
        name.removeprefix("image_encoder."): tensor
        for name, tensor in state.items()
        if name.startswith("image_encoder.")
    }
    head = {"model.decoder.weight": torch.zeros(3, 3)}
    torch.save({"state_dict": {**prefixed("model.encoder.", encoder), **head}, "epoch": 3}, path)


LAYOUTS: dict[str, Saver] = {
    "SegVol_v1.pth": save_training_checkpoint,
    "pytorch_model.bin": save_hub_checkpoint,
    "legacy.pth": save_legacy,
    "plain.pth": torch.save,
    "model.safetensors": lambda state, path: safetensors.torch.save_file(
        prefixed("model.", state), path
    ),
    "module.safetensors": lambda state, path: safetensors.torch.save_file(
        prefixed("module.", state), path
    ),
    "plain.safetensors": safetensors.torch.save_file,
}


def logits(model: SegVol) -> Tensor:
    window = torch.rand(1, 1, *SMALL.window, generator=torch.Generator().manual_seed(3))
    points = (torch.tensor([[[2.0, 10, 12], [5, 20, 3]]]), torch.tensor([[1.0, 0]]))
    box = torch.tensor([[1.0, 4, 4, 6, 25, 28]])
    with torch.inference_mode():
        result: Tensor = model(window, points=points, boxes=box, text=["liver"])
    return result


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_numbers(
    layout: str, state: State, small: SegVol, tmp_path: Path
) -> None:
    path = tmp_path / layout
    LAYOUTS[layout](state, path)
    loaded = load_state_dict(path)
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())
    model = load_model(path, config=SMALL)
    assert not model.training
    assert torch.equal(logits(model), logits(small))


def test_the_full_size_network_has_the_published_tensors() -> None:
    published = json.loads((DATA / "state_dict_keys.json").read_text())
    with torch.device("meta"):
        ours = SegVol().state_dict()
    assert len(published) == 474
    assert {name: list(tensor.shape) for name, tensor in ours.items()} == published


def test_a_saved_model_needs_nothing_but_its_file(small: SegVol, tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    save_model(small, path, {"data": "three made-up volumes"})
    model = load_model(path)
    assert model.config == SMALL
    assert torch.equal(logits(model), logits(small))
    assert load_metadata(path)["data"] == "three made-up volumes"
    assert list(tmp_path.iterdir()) == [path]


def test_a_loaded_model_is_independent_of_its_file(
    small: SegVol, state: State, tmp_path: Path
) -> None:
    path = tmp_path / "pytorch_model.bin"
    save_hub_checkpoint(state, path)
    model = load_model(path, config=SMALL)
    path.write_bytes(bytes(path.stat().st_size))
    assert torch.equal(logits(model), logits(small))


def test_a_loaded_model_can_be_trained(small: SegVol, tmp_path: Path) -> None:
    save_model(small, tmp_path / "mine.safetensors")
    model = load_model(tmp_path / "mine.safetensors")
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_half_precision_halves_the_file_and_loads_as_single(small: SegVol, tmp_path: Path) -> None:
    whole, half = tmp_path / "whole.safetensors", tmp_path / "half.safetensors"
    save_model(small, whole)
    save_model(small, half, half=True)
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    model = load_model(half)
    for name, tensor in small.state_dict().items():
        loaded = model.state_dict()[name]
        assert loaded.dtype == torch.float32
        assert torch.equal(loaded, tensor.half().float())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_load_as_single(dtype: torch.dtype, state: State, tmp_path: Path) -> None:
    stored = {name: tensor.to(dtype) for name, tensor in state.items()}
    torch.save(stored, tmp_path / "other.pth")
    for name, tensor in load_state_dict(tmp_path / "other.pth").items():
        assert torch.equal(tensor, stored[name].float())


def test_position_ids_of_older_files_are_dropped(state: State, tmp_path: Path) -> None:
    position_ids = torch.arange(SMALL.text.positions).unsqueeze(0)
    older = {**state, CLIP + "embeddings.position_ids": position_ids}
    save_hub_checkpoint(older, tmp_path / "older.bin")
    assert load_state_dict(tmp_path / "older.bin").keys() == state.keys()


def test_names_of_transformers_5_load_too(state: State, tmp_path: Path) -> None:
    newer = {
        name.replace("clip_text_model.text_model.", "clip_text_model."): tensor
        for name, tensor in state.items()
    }
    assert newer.keys() != state.keys()
    newer["text_encoder.clip_text_model.embeddings.position_ids"] = torch.arange(4)
    save_hub_checkpoint(newer, tmp_path / "newer.bin")
    loaded = load_state_dict(tmp_path / "newer.bin")
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())


def test_a_pretrained_encoder_fills_the_image_encoder_alone(state: State, tmp_path: Path) -> None:
    path = tmp_path / "vit_pretrain.ckpt"
    save_encoder(state, path)
    model = SegVol(SMALL)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    load_pretrained_encoder(model, path)
    for name, tensor in model.state_dict().items():
        expected = state if name.startswith("image_encoder.") else before
        assert torch.equal(tensor, expected[name])


def test_a_pretrained_encoder_is_not_taken_for_a_model(state: State, tmp_path: Path) -> None:
    save_encoder(state, tmp_path / "vit_pretrain.ckpt")
    with pytest.raises(WeightsError, match="image encoder alone"):
        load_model(tmp_path / "vit_pretrain.ckpt", config=SMALL)
    save_hub_checkpoint(state, tmp_path / "pytorch_model.bin")
    with pytest.raises(WeightsError, match="no pre-trained image encoder"):
        load_pretrained_encoder(SegVol(SMALL), tmp_path / "pytorch_model.bin")


def test_a_pretrained_encoder_of_another_size_changes_nothing(state: State, tmp_path: Path) -> None:
    save_encoder(state, tmp_path / "vit_pretrain.ckpt")
    model = SegVol(replace(SMALL, depth=3))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(WeightsError, match=r"missing: blocks\.2\."):
        load_pretrained_encoder(model, tmp_path / "vit_pretrain.ckpt")
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


# --- Files that are not what they should be


def test_missing_unknown_and_misshapen_tensors_are_named(state: State, tmp_path: Path) -> None:
    wrong = dict(state)
    del wrong["prompt_encoder.no_mask_embed.weight"]
    wrong["head.weight"] = torch.zeros(2)
    wrong[FIRST_BIAS] = torch.zeros(47)
    path = tmp_path / "wrong.bin"
    save_hub_checkpoint(wrong, path)
    with pytest.raises(WeightsError) as caught:
        load_model(path, config=SMALL)
    assert str(caught.value) == (
        f"{path} is not a checkpoint of this network. Tensors 1 missing: "
        "prompt_encoder.no_mask_embed.weight; 1 unknown: head.weight; "
        f"1 of another shape: {FIRST_BIAS} (47,) instead of (48,)."
    )


def test_of_many_wrong_tensors_a_handful_is_named(state: State, tmp_path: Path) -> None:
    torch.save({f"layer{n}.weight": torch.zeros(1) for n in range(1000)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="1000 unknown: layer0") as caught:
        check_weights(tmp_path / "other.pth", SMALL)
    assert len(str(caught.value)) < 1000 + len(str(tmp_path))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(value: float, state: State, tmp_path: Path) -> None:
    bad = {**state, FIRST_BIAS: torch.full((48,), value)}
    save_hub_checkpoint(bad, tmp_path / "bad.bin")
    with pytest.raises(WeightsError, match=f"not finite: {FIRST_BIAS}"):
        load_state_dict(tmp_path / "bad.bin")


def test_what_is_not_a_plain_tensor_is_named(state: State, tmp_path: Path) -> None:
    path = tmp_path / "odd.pth"
    torch.save({**state, FIRST_BIAS: torch.zeros(48, dtype=torch.int64)}, path)
    with pytest.raises(WeightsError, match=f"no plain numbers: {FIRST_BIAS}"):
        load_state_dict(path)
    torch.save({**state, FIRST_BIAS: torch.zeros(48).to_sparse()}, path)
    with pytest.raises(WeightsError, match=f"no plain numbers: {FIRST_BIAS}"):
        load_state_dict(path)
    torch.save({"model": {**state, "note": "hello"}}, path)
    with pytest.raises(WeightsError, match="something else than tensors: note"):
        load_state_dict(path)
    torch.save({"model": {}, "epoch": 3}, path)
    with pytest.raises(WeightsError, match="holds no tensors"):
        load_state_dict(path)
    torch.save(torch.zeros(3), path)
    with pytest.raises(WeightsError, match="no tensors with names"):
        load_state_dict(path)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kept", [0.0001, 0.01, 0.5, 0.999])
def test_a_truncated_file_is_recognised(
    layout: str, kept: float, state: State, tmp_path: Path
) -> None:
    path = tmp_path / layout
    LAYOUTS[layout](state, path)
    os.truncate(path, int(kept * path.stat().st_size))
    with pytest.raises(WeightsError, match="cut short"):
        load_model(path, config=SMALL)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"\n <!DOCTYPE html>\n<html><head><title>Sign in</title>", "web page"),
        (b"\xef\xbb\xbf<HTML lang='en'>", "web page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 724\n", "git-lfs"),
        (b'{"error": "Invalid username or password."}', "neither a PyTorch"),
        (b"\x1f\x8b\x08\x00gzip", "neither a PyTorch"),
        (bytes(4096), "neither a PyTorch"),
        (b"\xff" * 8 + b"{" + bytes(99), "cut short or damaged"),
        (b"\x80\x02garbage", "cut short, damaged|cut short or damaged"),
    ],
)
@pytest.mark.parametrize("name", ["SegVol_v1.pth", "model.safetensors"])
def test_what_is_not_a_checkpoint_is_said_to_be_what_it_is(
    content: bytes, says: str, name: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=says):
        load_state_dict(tmp_path / name)


def test_an_archive_without_tensors_is_no_checkpoint(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "thesis.docx", "w") as archive:
        archive.writestr("document.xml", "<x/>")
    with pytest.raises(WeightsError, match="zip archive, but not a PyTorch checkpoint"):
        load_state_dict(tmp_path / "thesis.docx")


def test_a_folder_and_an_absent_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is a folder"):
        load_state_dict(tmp_path)
    with pytest.raises(WeightsError, match="There is no file"):
        load_state_dict(tmp_path / "absent.pth")


def test_the_name_of_a_file_does_not_matter(state: State, tmp_path: Path) -> None:
    save_hub_checkpoint(state, tmp_path / "wrongly_named.safetensors")
    safetensors.torch.save_file(state, tmp_path / "wrongly_named.bin")
    for name in ("wrongly_named.safetensors", "wrongly_named.bin"):
        assert load_state_dict(tmp_path / name).keys() == state.keys()


# --- Files with code in them


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


# --- Configurations


@pytest.mark.parametrize(
    "config",
    [
        "not JSON",
        "[1]",
        '{"width": "48"}',
        '{"width": 48, "heads": 0}',
        '{"width": -48}',
        '{"depth": null}',
        '{"colour": "red"}',
        '{"window": 8}',
        '{"text": {"heads": 0}}',
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(
    config: str, state: State, tmp_path: Path
) -> None:
    path = tmp_path / "mine.safetensors"
    safetensors.torch.save_file(state, path, {"config": config})
    with pytest.raises(WeightsError, match="configuration that makes no sense"):
        load_model(path)


def test_a_given_configuration_overrules_the_stored_one(small: SegVol, tmp_path: Path) -> None:
    save_model(small, tmp_path / "mine.safetensors")
    with pytest.raises(WeightsError, match=r"image_encoder\.blocks\.2"):
        load_model(tmp_path / "mine.safetensors", config=replace(SMALL, depth=3))


# --- Saving


def test_a_network_that_cannot_be_saved_leaves_the_older_file(
    small: SegVol, tmp_path: Path
) -> None:
    path = tmp_path / "mine.safetensors"
    save_model(small, path)
    before = path.read_bytes()
    broken = SegVol(SMALL)
    with torch.no_grad():
        broken.text_encoder.dim_align.bias[0] = 1e6
    with pytest.raises(WeightsError, match=r"was not written.*text_encoder\.dim_align\.bias"):
        save_model(broken, path, half=True)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_named_and_left_clean(
    small: SegVol, tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match="cannot be written"):
        save_model(small, tmp_path / "absent" / "mine.safetensors")
    (tmp_path / "folder").mkdir()
    with pytest.raises(WeightsError, match="cannot be written"):
        save_model(small, tmp_path / "folder")
    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]


# --- Named weights


def test_the_starter_is_found_among_the_bundled_files(
    small: SegVol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_model(small, tmp_path / "starter.safetensors")
    monkeypatch.setattr(weights_folder_module, "resource_path", lambda name: tmp_path / name)
    assert load_model().config == SMALL


def test_a_starter_that_is_not_bundled_is_said_to_be_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nothing_bundled(name: str) -> Path:
        raise FileNotFoundError(name)

    monkeypatch.setattr(weights_folder_module, "resource_path", nothing_bundled)
    with pytest.raises(WeightsError, match="starter weights are missing"):
        load_model("starter")


def test_published_weights_that_were_not_downloaded_say_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGVOL_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match="segvol download"):
        load_model("segvol")


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(WeightsError, match="named startr: give starter, segvol, or the path"):
        weights_path("startr")


@pytest.mark.parametrize(
    ("platform", "variables", "folder"),
    [
        ("linux", {"SEGVOL_HOME": "/weights"}, "/weights"),
        ("linux", {"XDG_CACHE_HOME": "/cache"}, "/cache/segvol"),
        ("linux", {}, "/home/ann/.cache/segvol"),
        ("darwin", {}, "/home/ann/Library/Caches/segvol"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/segvol"),
        ("win32", {}, "/home/ann/AppData/Local/segvol"),
    ],
)
def test_downloaded_weights_are_in_the_users_cache(
    platform: str, variables: dict[str, str], folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SEGVOL_HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/ann", **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", platform)
    assert weights_folder() == Path(folder)
    assert segvol_file().parent == Path(folder)


def test_loading_weights_does_not_import_the_hub_client() -> None:
    program = "import sys, segvol_core.weights; sys.exit('huggingface_hub' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)  # noqa: S603


def test_loading_weights_does_not_load_a_compiler():
    code = (
        "import sys; from segvol_core.weights import _empty_model; "
        "from segvol_core.model.config import PUBLISHED; "
        "_empty_model(PUBLISHED, 'x'); sys.exit('torch._dynamo' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], check=False)  # noqa: S603
    assert ended.returncode == 0
