"""What CMake builds and installs: the whole extension, where its module finds it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

CHECKOUT = Path(__file__).parents[2]
STAND_IN = Path(__file__).parent / "slicer_stand_in"
MODULES = "lib/Slicer-5.12/qt-scripted-modules"
INSTALLED_PACKAGES = ("segvol_core", "SegVolLogic")
MEGABYTES = 1_000_000

# Every test outside this folder reads the checkout; these ask whether Slicer can do without it.


@pytest.fixture(scope="module")
def cmake() -> str:
    beside_python = shutil.which("cmake", path=Path(sys.executable).parent)
    return beside_python or shutil.which("cmake") or "cmake"


@pytest.fixture(scope="module")
def build(cmake: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build tree, made from the checkout with Slicer's CMake files stood in for."""
    folder = tmp_path_factory.mktemp("build")
    run(cmake, "-S", CHECKOUT, "-B", folder, f"-DSlicer_DIR={STAND_IN}", "-Wno-dev")
    run(cmake, "--build", folder)
    return folder


@pytest.fixture(scope="module")
def installation(cmake: str, build: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installation")
    run(cmake, "--install", build, "--prefix", folder)
    return folder


def run(*command: object) -> str:
    done = subprocess.run(  # noqa: S603
        [str(word) for word in command], check=False, capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def files_of_git(*folders: str) -> set[Path]:
    """Files that are tracked, or would be if they were added."""
    command = ("git", "-C", CHECKOUT, "ls-files", "--cached", "--others", "--exclude-standard")
    listed = run(*command, "--", *folders).splitlines()
    return {Path(name) for name in listed if (CHECKOUT / name).exists()}


def files_below(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


def expected_files() -> set[Path]:
    """Every Python file of the extension, its panel's files, and the data segvol_core reads."""
    packages = {path for path in files_of_git(*INSTALLED_PACKAGES) if path.suffix == ".py"}
    module = {path.relative_to("SegVolSlicer") for path in files_of_git("SegVolSlicer")}
    module.discard(Path("CMakeLists.txt"))
    pictures = {".png", ".jpg"}
    data = {path for path in files_of_git("Resources") if path.suffix not in pictures}
    return packages | module | data


@pytest.mark.parametrize("tree", ["build", "installation"])
def test_nothing_of_the_extension_is_left_behind(tree: str, request: pytest.FixtureRequest) -> None:
    assert files_below(request.getfixturevalue(tree) / MODULES) == expected_files()


def test_an_installed_module_imports_its_own_packages_and_finds_its_data(
    installation: Path,
) -> None:
    modules = installation / MODULES
    program = f"""
import sys
sys.path.insert(0, {str(modules)!r})
import segvol_core, SegVolLogic
from segvol_core.organs import parse_names
from segvol_core.resources import resource_path
print(segvol_core.__file__)
print(SegVolLogic.__file__)
for name in ("starter.safetensors", "engine_requirements.txt", "organs.json"):
    print(resource_path(name))
assert parse_names("liver")[0].display_name == "Liver"
assert "torch" not in sys.modules
"""
    places = run(sys.executable, "-I", "-c", program).splitlines()
    assert len(places) == 5
    assert all(Path(place).is_relative_to(modules) for place in places)


def test_an_installed_engine_starts_without_the_checkout(
    installation: Path, tmp_path: Path
) -> None:
    core = installation / MODULES / "segvol_core"
    command = (
        sys.executable,
        "-I",
        core / "bootstrap.py",
        "-",
        "segvol_core.cli",
        "info",
        "--json",
    )
    done = subprocess.run(  # noqa: S603
        [str(word) for word in (*command, tmp_path / "missing.nii.gz")],
        check=False,
        capture_output=True,
        encoding="utf-8",
    )
    assert "missing.nii.gz" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


# What the ExtensionsIndex checks


def metadata(build: Path) -> dict[str, str]:
    lines = (build / "metadata.txt").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_the_catalogue_entry_and_cmake_name_one_repository(build: Path) -> None:
    entry = json.loads((CHECKOUT / "SegVol.json").read_text())
    assert set(entry) >= {"$schema", "category", "scm_url"}
    assert set(entry) <= {
        "$schema",
        "build_dependencies",
        "build_subdirectory",
        "category",
        "dicom_support_rule",
        "enabled",
        "scm_revision",
        "scm_type",
        "scm_url",
        "tier",
    }
    told = metadata(build)
    repository = urlsplit(entry["scm_url"])
    assert repository.scheme == "https"
    assert Path(repository.path).stem.startswith("Slicer")
    assert entry["scm_url"] == told["HOMEPAGE"] + ".git"
    assert entry["category"] == "Segmentation"
    assert told["PROJECT"] == "SegVol"
    assert not told["PROJECT"].startswith("Slicer")
    assert (CHECKOUT / "SegVol.json").stem == told["PROJECT"]


@pytest.mark.parametrize("key", ["ICONURL", "SCREENSHOTURLS"])
def test_pictures_of_the_catalogue_are_in_the_repository(build: Path, key: str) -> None:
    told = metadata(build)
    owner_and_name = urlsplit(told["HOMEPAGE"]).path
    revision = json.loads((CHECKOUT / "SegVol.json").read_text())["scm_revision"]
    for url in told[key].split():
        path = urlsplit(url).path
        assert path.startswith(f"{owner_and_name}/{revision}/")
        picture = CHECKOUT / path.removeprefix(f"{owner_and_name}/{revision}/")
        assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_checkout_has_a_licence_and_is_small_enough() -> None:
    assert (CHECKOUT / "LICENSE").is_file()
    size = sum((CHECKOUT / path).stat().st_size for path in files_of_git("."))
    assert size < 100 * MEGABYTES


def test_slicer_sees_one_module_beside_its_packages() -> None:
    """Slicer takes every Python file in the folder for a module."""
    assert [path.name for path in (CHECKOUT / "SegVolSlicer").glob("*.py")] == ["SegVol.py"]
