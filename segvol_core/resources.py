"""Where the bundled data are: vocabulary, BPE merges, starter weights."""

from pathlib import Path

_INSTALLED = Path(__file__).parent / "resources"
_SOURCE_TREE = Path(__file__).parents[1] / "Resources"


def resource_path(name: str) -> Path:
    """Path of a bundled file, in an installed package or in a source checkout.

    Raises
    ------
    FileNotFoundError
        If neither place has it.
    """
    for folder in (_INSTALLED, _SOURCE_TREE):
        if (folder / name).exists():
            return folder / name
    raise FileNotFoundError(f"{name} is not among the bundled files of SegVol")
