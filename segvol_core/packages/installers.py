"""uv and pip: finding one, and the commands that install into a folder.

uv chooses the PyTorch build that fits the graphics card (``--torch-backend auto``). For pip the
choice is made here. Neither builds anything from source on the user's computer.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from segvol_core.packages.swap import beside, installer_scratch

Run = Callable[[list[str]], int]
"""Runs a command, passes its lines on, and returns its exit code."""

_PYTORCH = "https://download.pytorch.org/whl"
# PyTorch's builds, with the lowest CUDA version of a driver that runs them:
# https://docs.nvidia.com/deploy/cuda-compatibility (minor versions of one major are compatible).
_CUDA_BUILDS = ((13, "cu130"), (12, "cu126"))
_NOT_INHERITED = (
    *("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_REQUIRE_VIRTUALENV"),
    *("UV_TARGET", "UV_PREFIX", "UV_SYSTEM_PYTHON", "UV_PYTHON"),
)


@dataclass(frozen=True)
class Installation:
    """What is to be installed where.

    Attributes
    ----------
    python
        The Python that will use it.
    folder
        The folder of private packages, for what is kept beside it.
    target
        Where the packages are written.
    requirements_file
        The list of requirements.
    wheels
        Folder of wheels for an installation without internet, or None.
    constraints_file
        The versions to install of what is required, or None for any that is allowed.
    """

    python: Path
    folder: Path
    target: Path
    requirements_file: Path
    wheels: Path | None = None
    constraints_file: Path | None = None


def installer_environment(folder: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Environment for uv and pip: proxies, certificates and mirrors stay, other targets do not.

    What they fetch and unpack goes beside the folder: to the same disk, whose space was checked.
    """
    kept = {name: value for name, value in environment.items() if name not in _NOT_INHERITED}
    download = beside(folder, "download")
    temporary = installer_scratch(folder)
    temporary.mkdir(parents=True, exist_ok=True)
    return kept | {
        **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary)),
        "PIP_CACHE_DIR": str(download / "pip"),
        "PIP_RETRIES": environment.get("PIP_RETRIES", "2"),
        "UV_CACHE_DIR": str(download / "uv"),
        # The certificates of the system, among which a hospital's own are.
        "UV_SYSTEM_CERTS": environment.get("UV_SYSTEM_CERTS", "1"),
        "NO_COLOR": "1",
    }


def find_uv(python: Path, folder: Path, wheels: Path | None, run: Run) -> list[str] | None:
    """Command that starts uv: from the PATH, the chosen Python, or a folder of our own.

    The last is filled by pip where it has no uv yet.
    """
    on_path = shutil.which("uv")
    for command in ([on_path] if on_path else []), [str(python), "-m", "uv"]:
        if command and _works(command):
            return command
    tools = beside(folder, "uv")
    if (own := _program(tools)) and _works([own]):
        return [own]
    shutil.rmtree(tools, ignore_errors=True)
    if run([*_pip(python, tools, wheels), "uv"]) == 0 and (own := _program(tools)):
        return [own]
    shutil.rmtree(tools, ignore_errors=True)
    return None


def uv_command(uv: list[str], installation: Installation) -> list[str]:
    """Command that lets uv install what is missing in the target, and remove what is not needed."""
    source = (
        ["--torch-backend", "auto"]
        if installation.wheels is None
        else ["--no-index", "--find-links", str(installation.wheels)]
    )
    return [
        *(*uv, "pip", "install", "--python", str(installation.python)),
        *("--target", str(installation.target), "--exact"),
        *("--only-binary", ":all:", "--no-progress"),
        *source,
        *_what(installation),
    ]


def pip_command(installation: Installation, pytorch: str | None = None) -> list[str]:
    """Command that lets pip install everything into the target.

    Parameters
    ----------
    pytorch
        Of :func:`answering_index`.
    """
    command = _pip(installation.python, installation.target, installation.wheels)
    if pytorch is not None:
        command += ["--extra-index-url", pytorch]
    return [*command, *_what(installation)]


def answering_index(installation: Installation, run: Run) -> str | None:
    """PyTorch's index for pip, if it is needed and answers.

    pip asks it for every package, and where a firewall drops that, waits for each answer anew. That
    is not noticed where pip is told of further sources that have PyTorch.
    """
    if installation.wheels is not None:
        return None
    index = pytorch_index(sys.platform, nvidia_driver())
    if index is None:
        return None
    ask = [
        *(str(installation.python), "-m", "pip", "index", "versions", "torch"),
        *("--index-url", index, "--retries", "0", "--timeout", "15"),
        *("--no-input", "--disable-pip-version-check"),
    ]
    return index if run(ask) == 0 else None


def _what(installation: Installation) -> list[str]:
    constraints = installation.constraints_file
    return [
        *([] if constraints is None else ["-c", str(constraints)]),
        *("-r", str(installation.requirements_file)),
    ]


def pytorch_index(platform: str, cuda_version: tuple[int, int] | None) -> str | None:
    """PyTorch's index with the build for a computer, or None where PyPI's is that build.

    PyPI has the CUDA build for Linux, the CPU build for Windows, and the one for macOS.

    Parameters
    ----------
    platform
        As `sys.platform`.
    cuda_version
        The highest CUDA version of the NVIDIA driver; None without one.
    """
    if platform == "darwin":
        return None
    if cuda_version is None:
        return f"{_PYTORCH}/cpu" if platform == "linux" else None
    fitting = (build for major, build in _CUDA_BUILDS if cuda_version[0] >= major)
    return f"{_PYTORCH}/{next(fitting, 'cpu')}"


def nvidia_driver() -> tuple[int, int] | None:
    """Highest CUDA version of the NVIDIA driver, or None where there is no such card."""
    try:
        answer = subprocess.run(
            ["nvidia-smi"],  # noqa: S607 - where it is differs
            check=False,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            encoding="utf-8",
            errors="replace",
            timeout=20,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"CUDA(?: \w+)? Version:\s*(\d+)\.(\d+)", answer.stdout)
    return (int(found[1]), int(found[2])) if found and answer.returncode == 0 else None


def _pip(python: Path, target: Path, wheels: Path | None) -> list[str]:
    source = [] if wheels is None else ["--no-index", "--find-links", str(wheels)]
    return [
        *(str(python), "-m", "pip", "install", "--target", str(target), "--no-user"),
        *("--only-binary", ":all:", "--no-input", "--disable-pip-version-check"),
        *("--progress-bar", "off", *source),
    ]


def _program(tools: Path) -> str | None:
    search = os.pathsep.join(str(tools / name) for name in ("bin", "Scripts"))
    return shutil.which("uv", path=search)


def _works(command: list[str]) -> bool:
    try:
        answer = subprocess.run(  # noqa: S603 - uv, as found
            [*command, "--version"],
            check=False,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0
