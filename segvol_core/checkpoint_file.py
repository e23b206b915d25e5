"""What a checkpoint file holds, read without ever running code from it.

A file is recognised by its first bytes, never by its name: people rename checkpoints, and a
download that went wrong keeps the name of what it should have been.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors
import torch

from segvol_core.errors import WeightsError

_HEAD_BYTES = 512
_ZIP_MAGIC = b"PK\x03\x04"
_PICKLE_MAGIC = b"\x80"
_LFS_MAGIC = b"version https://git-lfs.github.com/spec"
_WEB_PAGE_MAGICS = (b"<!doctype", b"<html", b"<head", b"<body", b"<!--", b"<?xml")
# "GLOBAL posix.system was not an allowed global", "whose module posix is blocked": torch's words.
_REFUSED_GLOBAL = re.compile(r"GLOBAL (\S+)|whose module (\S+) is blocked")


@dataclass(frozen=True)
class CheckpointFile:
    """Contents of a checkpoint.

    Parameters
    ----------
    contents
        Tensors by name, or a dictionary that holds such a dictionary, as it was saved. Tensors may
        be read from the file when first used, so it must not be written to meanwhile.
    metadata
        Text stored beside the tensors; safetensors files alone have it.
    """

    contents: Mapping[object, object]
    metadata: Mapping[str, str]


def read_checkpoint_file(path: Path) -> CheckpointFile:
    """Read a safetensors file or a PyTorch file, the legacy format before PyTorch 1.6 too.

    Raises
    ------
    WeightsError
        If there is no such file, or it is a folder, empty, a web page, a git-lfs pointer, cut
        short, damaged, of another format, or has code in it.
    """
    head = _first_bytes(path)
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not head:
        raise WeightsError(f"{path} is empty.")
    if text.startswith(_WEB_PAGE_MAGICS):
        raise WeightsError(
            f"{path} is a web page, not a checkpoint: what was saved is the page around the "
            "download, a login page or an error. Download the file itself."
        )
    if head.startswith(_LFS_MAGIC):
        raise WeightsError(
            f"{path} is a git-lfs pointer, the placeholder of a checkpoint. "
            "Run `git lfs pull` in its repository, or download the file itself."
        )
    if head[8:9] == b"{":
        return _read_safetensors(path)
    if head.startswith(_ZIP_MAGIC):
        _check_archive(path)
        # torch goes by the name when it is given one, and that of safetensors would mislead it.
        memory_map = path.suffix != ".safetensors"
        return CheckpointFile(_read_torch(path, memory_map=memory_map), {})
    if head.startswith(_PICKLE_MAGIC):
        return CheckpointFile(_read_torch(path, memory_map=False), {})
    raise WeightsError(f"{path} is neither a PyTorch checkpoint nor a safetensors file.")


def _first_bytes(path: Path) -> bytes:
    if path.is_dir():
        raise WeightsError(f"{path} is a folder; give the checkpoint file in it.")
    try:
        with path.open("rb") as file:
            return file.read(_HEAD_BYTES)
    except FileNotFoundError:
        raise WeightsError(f"There is no file {path}.") from None
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}.") from error


def _read_safetensors(path: Path) -> CheckpointFile:
    try:
        with safetensors.safe_open(path, framework="pt", device="cpu") as file:
            tensors: dict[object, object] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return CheckpointFile(tensors, file.metadata() or {})
    except (safetensors.SafetensorError, ValueError, OSError) as error:
        raise WeightsError(
            f"{path} is cut short or damaged ({error}). Copy or download it again."
        ) from error


def _check_archive(path: Path) -> None:
    """Look into the zip archive that a PyTorch file is; its directory is its last part."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = {Path(name).name for name in archive.namelist()}
    except (zipfile.BadZipFile, ValueError) as error:
        raise WeightsError(
            f"{path} is cut short or damaged: the end of the file is missing. "
            "Copy or download it again."
        ) from error
    if "constants.pkl" in names:
        raise WeightsError(
            f"{path} is a TorchScript program, not a checkpoint: it contains code and was not "
            "opened."
        )
    if "data.pkl" not in names:
        raise WeightsError(f"{path} is a zip archive, but not a PyTorch checkpoint.")


def _read_torch(path: Path, *, memory_map: bool) -> Mapping[object, object]:
    try:
        with path.open("rb") as file:
            contents = torch.load(
                path if memory_map else file,
                map_location="cpu",
                weights_only=True,
                mmap=memory_map,
            )
    except pickle.UnpicklingError as error:
        refused = _REFUSED_GLOBAL.search(str(error))
        if refused is None:
            raise WeightsError(f"{path} is cut short, damaged, or not a checkpoint.") from error
        raise WeightsError(
            f"{path} contains code ({refused[1] or refused[2]}), which a checkpoint has no use "
            "for. It was not loaded and nothing in it was run."
        ) from None
    except Exception as error:  # A damaged pickle makes the reader raise anything.
        raise WeightsError(f"{path} is cut short or damaged. Copy or download it again.") from error
    if not isinstance(contents, dict):
        raise WeightsError(f"{path} holds no tensors with names ({type(contents).__name__}).")
    return contents
