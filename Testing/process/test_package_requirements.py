"""The bundled list of packages is the one that pyproject.toml names, and compares as meant."""

from __future__ import annotations

from importlib.metadata import requires
from pathlib import Path

import tomllib
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.requirements import Requirement

from segvol_core.packages.requirements import (
    engine_constraints_file,
    engine_requirements_file,
    normalised,
    read_requirements,
    required_names,
    requirements_digest,
)

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_slicer_installs_what_pip_would():
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    server = project["optional-dependencies"].get("server", [])
    expected = [*project["dependencies"], *server]
    assert read_requirements(engine_requirements_file()) == tuple(expected), (
        f"Write these lines into {engine_requirements_file()}:\n" + "\n".join(expected)
    )


def test_the_tested_versions_are_those_of_the_tests():
    tested = set((PYPROJECT.parent / "constraints.txt").read_text(encoding="utf-8").split())
    pinned = read_requirements(engine_constraints_file())
    assert set(pinned) <= tested
    needed = set(required_names(read_requirements(engine_requirements_file())))
    assert needed <= set(required_names(pinned))


def test_everything_that_the_requirements_bring_along_is_pinned():
    pinned = set(required_names(read_requirements(engine_constraints_file())))
    to_do = list(read_requirements(engine_requirements_file()))
    found = set()
    while to_do:
        requirement = Requirement(to_do.pop())
        name = normalised(requirement.name)
        if name not in found and (requirement.marker is None or requirement.marker.evaluate()):
            found.add(name)
            to_do += requires(name) or []
    # PyTorch itself says which of CUDA's libraries it was built with.
    others = {name for name in found if not name.startswith(("cuda-", "nvidia-", "triton"))}
    assert others - {"setuptools"} <= pinned


def test_comments_and_blank_lines_require_nothing(tmp_path):
    (tmp_path / "list.txt").write_text("# all\n\n  torch>=2.6  # the network\nnumpy\n")
    assert read_requirements(tmp_path / "list.txt") == ("torch>=2.6", "numpy")


def test_names_are_compared_as_pypi_does():
    assert required_names(("huggingface_hub>=1.0", "SimpleITK", "uvicorn[standard]>=0.3")) == (
        "huggingface-hub",
        "simpleitk",
        "uvicorn",
    )


@settings(deadline=None)
@given(st.permutations(["numpy >= 1.26", "torch>=2.6", "rich"]))
def test_order_and_spaces_need_no_update(requirements):
    assert requirements_digest(tuple(requirements)) == requirements_digest(
        ("NumPy>=1.26", "torch>=2.6", "rich")
    )


def test_another_version_needs_an_update():
    assert requirements_digest(("torch>=2.6",)) != requirements_digest(("torch>=2.7",))
