"""Where weights are: the bundled starter, the downloaded published ones, or a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from segvol_core.errors import WeightsError
from segvol_core.resources import resource_path

STARTER, SEGVOL = "starter", "segvol"
"""Named weights: the small bundled model, and the published one once it was downloaded."""

_STARTER_FILE = "starter.safetensors"
_SEGVOL_FILE = "segvol.ckpt"


def weights_path(weights: str | Path) -> Path:
    """File of named weights, or the path itself.

    Raises
    ------
    WeightsError
        For an unknown name, and for ``"segvol"`` before it was downloaded.
    """
    if weights == STARTER:
        try:
            return resource_path(_STARTER_FILE)
        except FileNotFoundError as error:
            raise WeightsError(f"The starter weights are missing: {error}.") from error
    if weights == SEGVOL:
        path = segvol_file()
        if not path.exists():
            raise WeightsError(
                f"The published weights are not on this computer ({path}). "
                "Run `segvol download`, or `segvol download --from FILE` with a copy of them."
            )
        return path
    path = Path(weights)
    if isinstance(weights, str) and path.name == weights and not path.exists():
        raise WeightsError(
            f"There are no weights and no file named {weights}: give {STARTER}, {SEGVOL}, or the "
            "path of a checkpoint."
        )
    return path


def segvol_file() -> Path:
    """Where the published checkpoint is kept once it was downloaded, in its own layout."""
    return weights_folder() / _SEGVOL_FILE


def weights_folder() -> Path:
    """Folder of downloaded weights.

    ``SEGVOL_HOME`` if it is set, else ``segvol`` in the user's cache folder: ``LOCALAPPDATA`` on
    Windows, ``~/Library/Caches`` on macOS, ``XDG_CACHE_HOME`` or ``~/.cache`` elsewhere.
    """
    if home := os.environ.get("SEGVOL_HOME"):
        return Path(home).expanduser()
    if sys.platform == "win32":
        cache = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        cache = Path.home() / "Library" / "Caches"
    else:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "segvol"


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn what the operating system says of a file into a sentence.

    Raises
    ------
    WeightsError
        For every ``OSError`` of the block.
    """
    try:
        yield
    except OSError as error:
        raise WeightsError(f"{path}: {error.strerror or error}.") from error
