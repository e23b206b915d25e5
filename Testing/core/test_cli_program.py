"""The installed program `segvol`: its own process, a terminal, Ctrl-C, and how soon it answers."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
import slicerio
from command_line import SEGVOL, run_program

from segvol_core import __version__
from segvol_core.cli.app import app
from segvol_core.model.segvol import SegVol
from segvol_core.weights import save_model

CROP = Path(__file__).parents[1] / "data" / "ct_crop.nii.gz"
COMMANDS = [command.name or command.callback.__name__ for command in app.registered_commands]

PATIENCE = 250
"""Seconds, for a machine with much else to do; importing torch alone takes a minute then."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory, small: SegVol) -> Path:
    path = tmp_path_factory.mktemp("program") / "tiny.safetensors"
    save_model(small, path)
    return path


@pytest.mark.parametrize(
    ("moment", "code"),
    [
        # While it is imported.
        (
            """
class Finder:
    def find_spec(self, name, *_):
        if name == "segvol_core.cli.app":
            press_ctrl_c()
sys.meta_path.insert(0, Finder())
""",
            130,
        ),
        # As it ends.
        (
            """
def leave(code):
    press_ctrl_c()
    raise SystemExit(code)
sys.exit = leave
""",
            130,
        ),
        # While Python ends: what the command did is done.
        ("atexit.register(press_ctrl_c)", 0),
    ],
    ids=["as it begins", "as it ends", "after it"],
)
def test_ctrl_c_at_the_edge_of_a_command_is_told_by_its_exit_code(moment: str, code: int) -> None:
    program = f"""
import atexit, os, signal, sys
from segvol_core.cli import main

def press_ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = ["segvol", "--version"]
{moment}
main()
"""
    result = subprocess.run(  # noqa: S603  # Our own program.
        [sys.executable, "-c", program], capture_output=True, check=False, encoding="utf-8"
    )
    assert (result.returncode, result.stderr) == (code, "")


@pytest.fixture(scope="module")
def large_ct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real CT that takes the small network minutes."""
    image = SimpleITK.ReadImage(str(CROP))
    voxels = SimpleITK.GetArrayFromImage(image)
    enlarged = SimpleITK.GetImageFromArray(np.kron(voxels, np.ones((4, 8, 8), voxels.dtype)))
    path = tmp_path_factory.mktemp("large") / "ct.mha"
    SimpleITK.WriteImage(enlarged, str(path))
    return path


@contextmanager
def on_a_terminal(*arguments: object) -> Iterator[tuple[subprocess.Popen[bytes], list[bytes]]]:
    """Run `segvol` with a terminal for its stderr; what it writes there is collected."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(  # noqa: S603  # Our own program.
        [SEGVOL, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        # Tests that were started in the background ignore Ctrl-C, and so would their children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    os.close(theirs)
    written: list[bytes] = []

    def collect() -> None:
        # Linux ends what is read from a terminal that nobody writes to any more with an error.
        try:
            while block := os.read(ours, 4096):
                written.append(block)
        except OSError:
            pass

    reader = threading.Thread(target=collect)
    reader.start()
    try:
        yield process, written
    finally:
        process.kill()
        process.wait()
        reader.join()
        os.close(ours)


def wait_for(text: bytes, written: list[bytes], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while text not in b"".join(written):
        assert process.poll() is None, b"".join(written)
        assert time.monotonic() < deadline, b"".join(written)
        time.sleep(0.02)


def test_segments_are_written_and_a_terminal_shows_progress_and_warnings(tmp_path, weights):
    brighter = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(CROP))) + 1024
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(brighter), str(tmp_path / "mr.nrrd"))
    out = tmp_path / "out.seg.nrrd"
    command = ("segment", tmp_path / "mr.nrrd", "-o", out, "--weights", weights, "--json")
    with on_a_terminal(*command, "--text", "liver, left kidney") as (process, written):
        assert process.stdout is not None
        printed = json.loads(process.stdout.read())
        assert process.wait(PATIENCE) == 0
    names = [segment["name"] for segment in slicerio.read_segmentation(str(out))["segments"]]
    assert names == ["Liver", "Left kidney"] == [each["name"] for each in printed["segments"]]
    shown = b"".join(written).decode()
    assert "Loading the network" in shown
    assert "Segmenting" in shown
    assert "Warning: The values run from 0 to" in shown
    assert printed["warnings"][0].startswith("The values run from 0 to")
    # The bars are gone and the cursor is back.
    assert shown.rstrip().endswith("\x1b[?25h")


def test_help_is_immediate():
    """Within twice the processor time of a command line that does nothing else."""
    seconds = [
        (
            children_seconds([SEGVOL, "--help"]),
            children_seconds([sys.executable, "-m", "typer", "--help"]),
        )
        for _ in range(3)
    ]
    ours, typers = (min(each) for each in zip(*seconds, strict=True))
    assert ours < 2 * typers


def children_seconds(arguments: list[str | Path]) -> float:
    """Processor time of a program."""
    before = os.times()
    subprocess.run(  # noqa: S603  # Our own program, or Typer's.
        arguments, stdout=subprocess.DEVNULL, check=True
    )
    after = os.times()
    return sum(after[2:4]) - sum(before[2:4])


def test_no_help_imports_torch():
    program = f"""
import sys
from segvol_core import __version__
from segvol_core.cli.app import app

for arguments in ([], *([name] for name in {COMMANDS})):
    try:
        app([*arguments, "--help"])
    except SystemExit as end:
        assert end.code in (0, None), arguments
    assert "torch" not in sys.modules, arguments
"""
    result = subprocess.run(  # noqa: S603  # Our own program.
        [sys.executable, "-c", program], capture_output=True, check=False, encoding="utf-8"
    )
    assert result.returncode == 0, result.stderr


def test_python_can_run_it_as_a_module():
    result = subprocess.run(  # Our own program.
        [sys.executable, "-m", "segvol_core.cli", "--version"],
        capture_output=True,
        check=False,
        encoding="utf-8",
    )
    assert (result.returncode, result.stdout) == (0, f"segvol {__version__}\n")


def test_a_wrong_command_line_needs_no_torch_to_be_refused(tmp_path):
    result = run_program("segment", CROP, "-o", tmp_path / "out.nrrd", "--text", "livr")
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Error: There is no organ called “livr”")


def test_output_that_nobody_reads_is_no_error():
    with subprocess.Popen(  # noqa: S603  # Our own program.
        [SEGVOL, "organs", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert b"Error" not in process.stderr.read()
        assert b"Traceback" not in process.stderr.read()


def test_ctrl_c_while_segmenting_stops_and_leaves_no_file(tmp_path, weights, large_ct):
    out = tmp_path / "out.seg.nrrd"
    command = ("segment", large_ct, "-o", out, "--weights", weights, "--text", "liver, spleen")
    with on_a_terminal(*command) as (process, written):
        wait_for(b"Segmenting", written, process)
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
        assert process.stdout is not None
        assert process.stdout.read() == b""
    shown = b"".join(written)
    assert b"Reading the CT" in shown
    assert b"Cancelled." in shown
    assert b"Traceback" not in shown
    assert list(tmp_path.iterdir()) == []
