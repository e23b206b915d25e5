"""The download of the published weights as Slicer starts it: told, ended, cancelled."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from stand_in_hub import running_hub
from stand_ins import is_running, script, wait_until

from segvol_core.weights_folder import segvol_file
from segvol_core.weights_job import (
    WeightsCancelled,
    WeightsDone,
    WeightsFailed,
    WeightsJob,
    WeightsRunning,
    WeightsState,
)


def end_of(job: WeightsJob) -> WeightsState:
    wait_until(lambda: not isinstance(job.poll(), WeightsRunning), 120)
    return job.poll()


def python(tmp_path: Path, source: str) -> Path:
    """A program in the place of Python, which says what a download would."""
    return script(tmp_path / "python", f"import sys, time\n{source}")


def test_progress_and_the_path_are_told(tmp_path: Path) -> None:
    says = python(
        tmp_path,
        """print('Fetching with a library that prints', flush=True)
print('{"step": "download", "done": 1000, "total": 4000}', flush=True)
sys.stdin.readline()
print('{"path": "/somewhere/segvol.ckpt"}')""",
    )
    job = WeightsJob(says, None, logs=tmp_path)
    wait_until(lambda: job.poll() != WeightsRunning())
    state = job.poll()
    assert isinstance(state, WeightsRunning)
    assert (state.step, state.fraction) == ("download", 0.25)
    assert job._tree is not None
    assert job._tree._process.stdin is not None
    job._tree._process.stdin.write(b"\n")
    job._tree._process.stdin.flush()
    assert end_of(job) == WeightsDone(Path("/somewhere/segvol.ckpt"))


def test_what_a_hub_without_the_weights_says_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_hub({"model.safetensors": b"x"}) as hub:
        hub.revisions = ()
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        state = end_of(WeightsJob(Path(sys.executable), None, logs=tmp_path))
    assert isinstance(state, WeightsFailed)
    assert "ended unexpectedly" not in state.message
    assert not segvol_file().exists()


def test_a_process_that_ends_by_itself_is_told_with_its_last_error(tmp_path: Path) -> None:
    dies = python(tmp_path, "raise MemoryError('no room')")
    state = end_of(WeightsJob(dies, None, logs=tmp_path))
    assert isinstance(state, WeightsFailed)
    assert "no room" in state.message


def test_a_python_that_is_not_there_is_told(tmp_path: Path) -> None:
    state = WeightsJob(tmp_path / "none", None, logs=tmp_path).poll()
    assert isinstance(state, WeightsFailed)
    assert "cannot be started" in state.message


def test_cancelling_ends_the_process(tmp_path: Path) -> None:
    job = WeightsJob(python(tmp_path, "time.sleep(600)"), None, logs=tmp_path)
    assert job._tree is not None
    pid = job._tree.pid
    job.cancel()
    assert isinstance(job.poll(), WeightsCancelled)
    wait_until(lambda: not is_running(pid))
