"""The list of what the inference process needs, bundled so that the extension has it too."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from segvol_core.resources import resource_path

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def engine_requirements_file() -> Path:
    """The bundled list, in pip's format."""
    return resource_path("engine_requirements.txt")


def engine_constraints_file() -> Path:
    """The bundled list of the versions that were tested, in pip's format."""
    return resource_path("engine_constraints.txt")


def read_requirements(file: Path) -> tuple[str, ...]:
    """Requirements of a list, without comments, in order."""
    lines = (line.partition("#")[0].strip() for line in file.read_text("utf-8").splitlines())
    return tuple(line for line in lines if line)


def requirements_digest(requirements: tuple[str, ...]) -> str:
    """SHA-256 that changes when what is required does, and not with order or spaces."""
    plain = sorted(requirement.replace(" ", "").lower() for requirement in requirements)
    return hashlib.sha256("\n".join(plain).encode()).hexdigest()


def required_names(requirements: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the required distributions, as `normalised` gives them."""
    matches = (_NAME.match(requirement) for requirement in requirements)
    return tuple(normalised(match[0]) for match in matches if match)


def normalised(name: str) -> str:
    """A distribution's name in the one spelling that PyPI compares."""
    return re.sub(r"[-_.]+", "-", name).lower()
