"""`segvol batch` on a real Ray cluster: what it writes, what it survives, what it does not redo."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from ray_processes import command_line, is_running, pids_of
from running_server import until
from small_network import small_network, small_volume

from segvol_core.prompts import Prompts
from segvol_core.session import Session
from segvol_core.volume_io import read_volume
from segvol_core.weights import save_model

pytestmark = pytest.mark.ray

NAMES = {"Liver": "liver", "Spleen": "spleen"}
PRIVATE = "segvol-ray-*"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_model(small_network(), path)
    return path


def write_ct(path: Path, seed: int, shape: tuple[int, int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = SimpleITK.GetImageFromArray(small_volume(seed, shape).voxels)
    image.SetSpacing((1.0, 1.0, 2.5))
    SimpleITK.WriteImage(image, str(path))


class Batch:
    """The command, in a process of its own."""

    def __init__(self, folder: Path, output: Path, weights: Path, *options: object) -> None:
        words = [folder, "--output", output, "--weights", weights, "--format", "nii.gz", *options]
        self.popen = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "segvol_core.cli", "batch", *map(str, words)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    def end(self) -> tuple[int, str]:
        """Exit code and what was printed."""
        said = "".join(self.popen.communicate(timeout=240))
        return self.popen.returncode, said

    def computing(self) -> list[int]:
        """Processes that are at a case."""
        return [
            pid
            for pid in pids_of(self.popen.pid)
            if "".join(command_line(pid)).startswith("ray::segment_case")
        ]


def report_of(output: Path) -> list[dict[str, str]]:
    with (output / "report.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def assert_result(output: Path, ct: Path) -> None:
    here = Session(small_network(), read_volume(ct))
    labels = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(output)))
    expected = np.zeros(labels.shape, dtype=labels.dtype)
    for value, text in enumerate(NAMES.values(), 1):
        expected[here.mask(Prompts(text=text))] = value
    assert np.array_equal(labels, expected)


def written(path: Path) -> tuple[int, int]:
    """What changes when a file is written again."""
    state = path.stat()
    return state.st_ino, state.st_mtime_ns


def private_folders() -> list[Path]:
    return [path for place in ("/dev/shm", "/tmp") for path in Path(place).glob(PRIVATE)]  # noqa: S108


def test_a_folder_is_segmented_as_one_by_one_and_a_broken_file_stops_nothing(
    tmp_path: Path, weights: Path
) -> None:
    folder, output = tmp_path / "cts", tmp_path / "results"
    write_ct(folder / "one.nii.gz", 0, (14, 36, 40))
    write_ct(folder / "ward" / "two.nrrd", 1, (16, 40, 44))
    (folder / "broken.mha").write_text("no image")
    names = ("--names", ", ".join(NAMES.values()))
    code, said = Batch(folder, output, weights, *names, "--workers", 2).end()
    assert code == 2, said
    assert "2 done, 0 done before, 1 without a result." in said
    assert_result(output / "one.nii.gz", folder / "one.nii.gz")
    assert_result(output / "ward" / "two.nii.gz", folder / "ward" / "two.nrrd")
    rows = report_of(output)
    assert [(row["case"], row["segment"]) for row in rows] == [
        ("broken", ""),
        ("one", "Liver"),
        ("one", "Spleen"),
        ("ward/two", "Liver"),
        ("ward/two", "Spleen"),
    ]
    assert "no image that SegVol can read" in rows[0]["note"]
    labels = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(output / "one.nii.gz")))
    assert int(rows[2]["voxels"]) == np.count_nonzero(labels == 2)
    assert float(rows[2]["millilitres"]) == pytest.approx(int(rows[2]["voxels"]) * 2.5e-3, abs=1e-3)
    assert "ward/two" in (output / "report.md").read_text()

    # Done is done, until something else is asked for; nobody's work is replaced unasked.
    (folder / "broken.mha").unlink()
    before = written(output / "one.nii.gz")
    code, said = Batch(folder, output, weights, *names).end()
    assert code == 0, said
    assert "0 done, 2 done before, 0 without a result." in said
    assert written(output / "one.nii.gz") == before
    code, said = Batch(folder, output, weights, "--names", "liver").end()
    assert code == 2
    assert "was made with other names, prompts, weights or windows" in said
    assert written(output / "one.nii.gz") == before


@pytest.mark.timeout(600)
def test_killed_it_goes_on_where_it_was_and_a_killed_case_is_tried_again(
    tmp_path: Path, weights: Path
) -> None:
    folder, output = tmp_path / "cts", tmp_path / "results"
    write_ct(folder / "a.nii.gz", 0, (14, 36, 40))
    for name in ("b", "c"):
        write_ct(folder / f"{name}.nii.gz", 1, (48, 128, 128))
    options = ("--names", ", ".join(NAMES.values()), "--workers", 1)
    first = Batch(folder, output, weights, *options)
    until(lambda: (output / "a.nii.gz").exists() or first.popen.poll() is not None, 240)
    processes = pids_of(first.popen.pid)
    first.popen.kill()
    first.popen.communicate()
    done = written(output / "a.nii.gz")
    assert not (output / "c.nii.gz").exists()
    # What a case leaves that is killed while it writes.
    unfinished = output / ".segvol-batch" / "unfinished" / "x"
    unfinished.mkdir(parents=True, exist_ok=True)
    (unfinished / "c.nii.gz").write_bytes(b"half")
    until(lambda: not any(is_running(pid) for pid in processes), 60)
    until(lambda: not private_folders(), 60)

    second = Batch(folder, output, weights, *options)
    at_work: list[int] = []
    until(
        lambda: at_work.extend(second.computing()) or at_work or second.popen.poll() is not None,
        240,
    )
    os.kill(at_work[0], signal.SIGKILL)
    code, said = second.end()
    assert code == 0, said
    assert written(output / "a.nii.gz") == done
    assert_result(output / "b.nii.gz", folder / "b.nii.gz")
    assert (output / "c.nii.gz").read_bytes() == (output / "b.nii.gz").read_bytes()
    attempts = {row["case"]: row["attempts"] for row in report_of(output)}
    assert attempts["a"] == "0"
    assert "2" in (attempts["b"], attempts["c"])
    assert not unfinished.exists()
    assert not private_folders()
