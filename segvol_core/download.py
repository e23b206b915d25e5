"""The published weights, from the Hugging Face hub or from a copy on disk, put where they are used.

Whatever happens, the named weights are either what they were, or new ones that are complete and
were checked.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

from segvol_core.errors import WeightsError
from segvol_core.model.config import PUBLISHED, SegVolConfig
from segvol_core.weights import check_weights
from segvol_core.weights_folder import disk_errors, segvol_file

Step = Literal["download", "check", "copy"]
Progress = Callable[[Step, int, int], None]
"""Called with what is going on, bytes done and bytes in all; an exception from it cancels."""

REPOSITORY = "BAAI/SegVol"
# In the order of preference: the first has no pickle in it.
_FILES = ("model.safetensors", "pytorch_model.bin")
_BLOCK_BYTES = 1 << 20
_SPARE_BYTES = 64 << 20


def download_segvol(
    *,
    revision: str = "main",
    progress: Progress | None = None,
    endpoint: str | None = None,
    config: SegVolConfig = PUBLISHED,
) -> Path:
    """Download the published weights, which ``load_model("segvol")`` then finds.

    What an interrupted or cancelled download has fetched is kept, and the next one continues
    there. Weights that are in place already are checked, not fetched again. Proxies, certificates,
    a token, ``HF_ENDPOINT`` and ``HF_HUB_OFFLINE`` come from the environment, as in
    ``huggingface_hub``.

    Parameters
    ----------
    revision
        Branch, tag or commit of the repository.
    progress
        Called several times a second; an exception that it raises cancels, and comes out of here.
    endpoint
        Address of a mirror of the hub.
    config
        Sizes of the network that the weights must fit.

    Returns
    -------
    Path
        The checkpoint, in the layout that it was published in.

    Raises
    ------
    WeightsError
        If the hub cannot be reached or refuses, the disk is full, the content is not what the hub
        promised or not a checkpoint of this network, or another download is running.
    """
    # Imported here because it takes a second and only downloads need it.
    from segvol_core.hub import fetch_file, find_file  # noqa: PLC0415

    report = progress or _silent
    target = segvol_file()
    with _only_writer(target):
        remote = find_file(REPOSITORY, _FILES, revision, endpoint)
        if target.exists() and _sha256(target, report) == remote.sha256:
            return target
        partial = target.with_name(f"{target.name}.{remote.sha256[:16]}.partial")
        fetched = partial.stat().st_size if partial.exists() else 0
        _check_space(target.parent, remote.size - fetched)
        fetch_file(remote, partial, lambda done, total: report("download", done, total))
        try:
            _check_checksum(partial, remote.sha256, report)
            check_weights(partial, config)
        except WeightsError:
            partial.unlink()
            raise
        _put_in_place(partial, target)
    return target


def install_segvol(
    file: str | Path, *, progress: Progress | None = None, config: SegVolConfig = PUBLISHED
) -> Path:
    """Copy published weights from a file, for ``load_model("segvol")`` to find.

    Parameters
    ----------
    file
        ``SegVol_v1.pth``, ``pytorch_model.bin``, or a safetensors file of the same tensors.
    progress
        Called several times a second; an exception that it raises cancels, and comes out of here.
    config
        Sizes of the network that the weights must fit.

    Returns
    -------
    Path
        The copy.

    Raises
    ------
    WeightsError
        If the file is not a checkpoint of this network, or it cannot be copied.
    """
    file = Path(file)
    check_weights(file, config)
    target = segvol_file()
    if target.exists() and target.samefile(file):
        return target
    with _only_writer(target):
        partial = target.with_name(f"{target.name}.copy.partial")
        _check_space(target.parent, file.stat().st_size)
        try:
            _copy(file, partial, progress or _silent)
            _put_in_place(partial, target)
        finally:
            partial.unlink(missing_ok=True)
    return target


def _silent(_step: Step, _done: int, _total: int) -> None:
    pass


@contextmanager
def _only_writer(target: Path) -> Iterator[None]:
    """Keep the folder of the weights to this process while it writes there."""
    from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined] # noqa: PLC0415

    with ExitStack() as stack:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            lock = WeakFileLock(target.with_name(f"{target.name}.lock"), timeout=0.2)
            stack.enter_context(lock)
        except TimeoutError:
            raise WeightsError(
                f"Another `segvol download` is at work in {target.parent}; let it end first."
            ) from None
        except OSError as error:
            raise WeightsError(
                f"{target.parent} cannot be written to ({error.strerror}). Name another folder in "
                "SEGVOL_HOME."
            ) from error
        yield


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed + _SPARE_BYTES:
        raise WeightsError(
            f"The disk of {folder} is too full: {needed / 1e6:.0f} MB are needed and "
            f"{free / 1e6:.0f} MB are free. Make room, or name another folder in SEGVOL_HOME."
        )


def _check_checksum(path: Path, sha256: str, report: Progress) -> None:
    if _sha256(path, report) != sha256:
        raise WeightsError(
            "What was downloaded differs from what the hub promised (its checksum), and was "
            "deleted. Try again; if it stays so, something on the way changes the file."
        )


def _sha256(path: Path, report: Progress) -> str:
    size, done = path.stat().st_size, 0
    digest = hashlib.sha256()
    for block in _blocks(path):
        digest.update(block)
        done += len(block)
        report("check", done, size)
    return digest.hexdigest()


def _copy(source: Path, target: Path, report: Progress) -> None:
    size, done = source.stat().st_size, 0
    with disk_errors(target):
        writer = target.open("wb")
    with writer:
        for block in _blocks(source):
            with disk_errors(target):
                writer.write(block)
                writer.flush()
            done += len(block)
            report("copy", done, size)


def _blocks(path: Path) -> Iterator[bytes]:
    with disk_errors(path), path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            yield block


def _put_in_place(complete: Path, target: Path) -> None:
    with disk_errors(target):
        with complete.open("rb+") as file:
            os.fsync(file.fileno())
        complete.replace(target)
        for leftover in target.parent.glob(f"{target.name}.*.partial"):
            leftover.unlink()
