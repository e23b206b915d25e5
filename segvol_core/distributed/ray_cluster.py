"""A Ray cluster for as long as it is needed: one of our own on this computer, or one to join.

Of Ray's own cluster nothing can be reached from other computers, nothing is left behind, nothing
is reported to anybody, and what Ray keeps or logs lies in memory (`/dev/shm`) and not on a disk,
where the system has such a folder.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from segvol_core.errors import SegVolError

_INSTALL = "Ray is not installed: pip install 'segvol[ray]'."
_MEMORY_FOLDER = Path("/dev/shm")  # noqa: S108  # Of the system, and in memory.
_OBJECT_STORE_BYTES = 256 * 1024**2
"""Ray hands over chunks and masks in it, of 16 MiB at most, and drops them at once."""
_FOLDER_BYTES = 128 * 1024**2
"""Room for Ray's logs beside the object store."""
_CONNECT_SECONDS = 5.0
_ATTEMPTS = 2
"""Ray gives itself 30 s to start, which a computer with much else to do may not suffice for."""

# Read by Ray when it is imported, and passed on to its processes.
_OWN_CLUSTER = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
    # Its name says otherwise, but 0 makes Ray listen on 127.0.0.1 alone, on Linux too.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_enable_metrics_collection": "0",
    # Ray would let everything else on the computer go first.
    "RAY_worker_niceness": "0",
}


def require_ray() -> None:
    """Make sure that Ray and what its Serve needs are installed, without importing them.

    Raises
    ------
    SegVolError
        If not; the sentence says what to install.
    """
    for module in ("ray", "aiohttp", "grpc", "filelock"):
        if importlib.util.find_spec(module) is None:
            raise SegVolError(_INSTALL)


@contextlib.contextmanager
def ray_cluster(address: str | None, *, cpus: int | None = None, in_memory: bool) -> Iterator[None]:
    """Connect this process to a cluster inside the block.

    Parameters
    ----------
    address
        ``HOST:PORT`` of a cluster to join; None starts one here, which ends with this process.
    cpus
        Cores that a cluster of our own says it has; by default those of the computer.
    in_memory
        Whether voxels of patients go through Ray, so that it must keep what it keeps in memory.

    Raises
    ------
    SegVolError
        If Ray is not installed, the cluster cannot be joined, or memory for it is missing.
    """
    require_ray()
    if address is None:
        with _private_folder(in_memory=in_memory) as folder, _own_cluster(folder, cpus):
            yield
        return
    _check_reachable(address)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray  # noqa: PLC0415

    try:
        ray.init(address=address, configure_logging=False, log_to_driver=False)
    except Exception as error:  # Ray raises RuntimeError, ConnectionError, and this one too.
        raise SegVolError(f"The Ray cluster {address} cannot be joined: {_first(error)}") from error
    with _connected():
        yield


def _check_reachable(address: str) -> None:
    """Ray itself tries for two minutes, with pages of text."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise SegVolError(f"{address} is no address of a Ray cluster: it looks like server:6379.")
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise SegVolError(f"No Ray cluster answers at {address}.") from error


@contextlib.contextmanager
def _own_cluster(folder: Path, cpus: int | None) -> Iterator[None]:
    os.environ.pop("RAY_ADDRESS", None)
    os.environ.update(_OWN_CLUSTER, RAY_AUTH_TOKEN=secrets.token_urlsafe(32))
    _start(folder, cpus)
    with _connected():
        yield


def _start(folder: Path, cpus: int | None) -> None:
    """Start Ray's processes, and once more where they were too slow for Ray."""
    import ray  # noqa: PLC0415

    for attempt in range(1, _ATTEMPTS + 1):
        ray.shutdown()  # of what an attempt before has left
        try:
            ray.init(
                address="local",
                num_cpus=cpus,
                object_store_memory=_OBJECT_STORE_BYTES,
                include_dashboard=False,
                configure_logging=False,
                log_to_driver=False,
                _temp_dir=str(folder),
            )
        except Exception as error:  # Of a node that was too slow, Ray says no more by its type.
            if attempt == _ATTEMPTS:
                raise SegVolError(f"Ray cannot be started: {_first(error)}") from error
        else:
            return


@contextlib.contextmanager
def _connected() -> Iterator[None]:
    import ray  # noqa: PLC0415

    logging.getLogger("ray").setLevel(logging.WARNING)
    # In place of Ray's handler, which prints a stack.
    before = signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        ray.shutdown()
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _private_folder(*, in_memory: bool) -> Iterator[Path]:
    """Yield a folder of this user's alone that goes away however this process ends."""
    place = _place(in_memory=in_memory)
    folder = Path(tempfile.mkdtemp(prefix="segvol-ray-", dir=place))
    guard = subprocess.Popen(  # noqa: S603  # Our own module.
        [sys.executable, "-m", "segvol_core.distributed.folder_guard", str(folder)],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        # Ray lets everybody into its folder, but nobody gets there.
        yield folder / "ray"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        guard.communicate()


def _place(*, in_memory: bool) -> Path:
    if _MEMORY_FOLDER.is_dir():
        if shutil.disk_usage(_MEMORY_FOLDER).free > _OBJECT_STORE_BYTES + _FOLDER_BYTES:
            return _MEMORY_FOLDER
        if in_memory:
            raise SegVolError(
                f"{_MEMORY_FOLDER} is too small: Ray would keep images of patients on the disk. "
                f"Give it {(_OBJECT_STORE_BYTES + _FOLDER_BYTES) // 1024**2} MiB or more "
                "(docker run --shm-size 1g)."
            )
    elif in_memory:
        raise SegVolError(
            f"There is no {_MEMORY_FOLDER} here: Ray would keep images of patients on the disk. "
            "Use Linux, or segvol serve without --ray."
        )
    return Path(tempfile.gettempdir())


def _exit(number: int, _: object) -> None:
    sys.exit(128 + number)


def _first(error: Exception) -> str:
    """First line of what an exception says."""
    return next(iter(str(error).splitlines()), type(error).__name__)
