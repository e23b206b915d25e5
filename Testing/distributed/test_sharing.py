"""Which replica a session lives in, and what each replica gets of a cluster."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import ray
from hypothesis import given
from hypothesis import strategies as st

from segvol_core.distributed import ray_cluster as ray_cluster_module
from segvol_core.distributed.ray_cluster import ray_cluster
from segvol_core.distributed.session_homes import SessionHomes
from segvol_core.distributed.share import Share, divided
from segvol_core.errors import SegVolError


@given(st.lists(st.tuples(st.integers(0, 5), st.sets(st.integers(0, 3), min_size=1)), max_size=60))
def test_a_session_moves_only_when_its_replica_is_gone(
    requests: list[tuple[int, set[int]]],
) -> None:
    homes: SessionHomes[int] = SessionHomes(forget_seconds=1e9)
    last: dict[int, int] = {}
    for session, alive in requests:
        home = homes.home_of(str(session), alive)
        assert home in alive
        if session in last and last[session] in alive:
            assert home == last[session]
        last[session] = home


@given(st.integers(1, 5), st.integers(1, 30))
def test_sessions_are_spread_evenly(replicas: int, sessions: int) -> None:
    homes: SessionHomes[int] = SessionHomes(forget_seconds=1e9)
    counts = [0] * replicas
    for session in range(sessions):
        counts[homes.home_of(str(session), range(replicas))] += 1
    assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize("address", ["127.0.0.1:1", "somewhere", "127.0.0.1:99999", ":6379"])
def test_a_cluster_that_does_not_answer_is_a_sentence(address: str) -> None:
    with (
        pytest.raises(SegVolError, match=r"No Ray cluster answers at|is no address of a Ray"),
        ray_cluster(address, in_memory=False),
    ):
        raise AssertionError


@pytest.fixture
def own_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the environment as it was, which a cluster of our own changes."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    for name in (*ray_cluster_module._OWN_CLUSTER, "RAY_AUTH_TOKEN"):
        monkeypatch.setenv(name, "")


@pytest.mark.usefixtures("own_cluster")
def test_a_cluster_that_cannot_be_started_is_a_sentence(tmp_path: Path) -> None:
    too_long_for_sockets = tmp_path / ("x" * 120)
    with (
        pytest.raises(SegVolError, match=r"^Ray cannot be started: .*path length cannot exceed"),
        ray_cluster_module._own_cluster(too_long_for_sockets, 1),
    ):
        raise AssertionError


@pytest.mark.usefixtures("own_cluster")
def test_a_computer_that_was_too_slow_once_gets_its_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Path] = []

    def init(*, _temp_dir: str, **_: object) -> None:
        started.append(Path(_temp_dir))
        if len(started) == 1:
            raise Exception("The current node timed out during startup.")  # noqa: TRY002

    monkeypatch.setattr(ray, "init", init)
    with ray_cluster_module._own_cluster(tmp_path, 1):
        assert started == [tmp_path, tmp_path]


def test_a_session_that_was_not_used_for_long_is_forgotten() -> None:
    now = 0.0
    homes: SessionHomes[str] = SessionHomes(forget_seconds=10, clock=lambda: now)
    homes.home_of("a", ["first", "second"])
    now = 5
    homes.home_of("b", ["first", "second"])
    now = 12
    homes.home_of("b", ["first", "second"])
    assert len(homes) == 1
    assert homes.home_of("c", ["first", "second"]) == "first"


@pytest.mark.parametrize(
    ("cpus", "gpus", "device", "count", "share"),
    [
        (16, 4, "auto", None, Share(4, 1, 4)),
        (16, 4, "auto", 2, Share(2, 1, 8)),
        (16, 4, "cpu", 2, Share(2, 0, 8)),
        (2, 0, "auto", None, Share(1, 0, 2)),
        (3, 0, "cpu", 2, Share(2, 0, 1)),
    ],
)
def test_each_process_gets_its_share(
    cpus: int, gpus: int, device: str, count: int | None, share: Share
) -> None:
    assert divided(cpus, gpus, device, count) == share


@pytest.mark.parametrize(
    ("gpus", "device", "count", "sentence"),
    [
        (2, "auto", 3, "3 processes need as many GPUs, and the cluster has 2."),
        (0, "auto", 9, "9 processes need as many CPU cores, and the cluster has 4."),
        (0, "cuda", None, "There is no CUDA device in the cluster."),
        (2, "cuda:1", None, "Ray gives each process a GPU of its own."),
    ],
)
def test_what_a_cluster_does_not_have_is_a_sentence(
    gpus: int, device: str, count: int | None, sentence: str
) -> None:
    with pytest.raises(SegVolError, match=sentence):
        divided(4, gpus, device, count)


@pytest.mark.parametrize(
    "command",
    [
        ["serve", "--ray", "--port", "0"],
        ["batch", ".", "--names", "liver", "-o", "results"],
    ],
)
def test_without_ray_it_is_said_what_to_install(tmp_path: Path, command: list[str]) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    for each in Path(sysconfig.get_path("purelib")).iterdir():
        if not each.name.startswith("ray"):
            (packages / each.name).symlink_to(each)
    paths = os.pathsep.join([str(Path(__file__).parents[2]), str(packages)])
    done = subprocess.run(  # noqa: S603
        # -S: only the packages above.
        [sys.executable, "-S", "-m", "segvol_core.cli", *command],
        env={**os.environ, "PYTHONPATH": paths},
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=120,
    )
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    assert last == "Error: Ray is not installed: pip install 'segvol[ray]'."
    assert not (tmp_path / "results").exists()
