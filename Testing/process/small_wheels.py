"""Small wheels made on the spot, with the hashes and sizes that a real one has."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path


def make_wheel(
    folder: Path,
    name: str,
    version: str,
    *,
    source: str = "",
    requires: Sequence[str] = (),
    files: Mapping[str, bytes] | None = None,
) -> Path:
    """Write a wheel of one package, whose ``__version__`` is the version."""
    folder.mkdir(parents=True, exist_ok=True)
    metadata = f"{name}-{version}.dist-info"
    contents = {
        f"{name}/__init__.py": f"__version__ = {version!r}\n{source}\n".encode(),
        f"{name}/data.bin": f"{name} {version}".encode() * 100,
        **(files or {}),
        f"{metadata}/METADATA": "\n".join(
            [
                "Metadata-Version: 2.1",
                f"Name: {name}",
                f"Version: {version}",
                *(f"Requires-Dist: {requirement}" for requirement in requires),
                "",
            ]
        ).encode(),
        f"{metadata}/WHEEL": (
            b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        ),
    }
    record = [
        f"{path},sha256={_digest(content)},{len(content)}" for path, content in contents.items()
    ]
    contents[f"{metadata}/RECORD"] = "\n".join([*record, f"{metadata}/RECORD,,", ""]).encode()
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, content in contents.items():
            entry = zipfile.ZipInfo(path)
            entry.external_attr = (0o100755 if "/scripts/" in path else 0o100644) << 16
            archive.writestr(entry, content)
    return wheel


def make_uv_wheel(folder: Path) -> Path:
    """Write a wheel with the uv of this environment, for pip to install."""
    from uv import find_uv_bin  # noqa: PLC0415

    program = Path(find_uv_bin())
    return make_wheel(folder, "uv", "1.0", files={"uv-1.0.data/scripts/uv": program.read_bytes()})


def break_wheel(wheel: Path) -> None:
    """Cut a wheel off, as an interrupted copy does."""
    whole = wheel.read_bytes()
    wheel.write_bytes(whole[: len(whole) // 3])


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
