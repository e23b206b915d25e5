"""What a department does in a week, in a few minutes: nothing lost, nothing wrong, no leak."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from server_process import Process
from small_network import prompts_of_every_kind, small_network, small_volume

from segvol_core.client import RemoteSession, RemoteStage
from segvol_core.session import Session
from segvol_core.weights import save_model

CLIENTS, PROMPTS_EACH, VOLUMES = 8, 125, 4
WARM_UP = 100
MAY_GROW_MIB = 16


def memory_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS"):
            return float(line.split()[1]) / 1024
    raise AssertionError("no VmRSS")


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_a_thousand_prompts_from_eight_clients_on_four_volumes(tmp_path: Path) -> None:
    weights = tmp_path / "small.safetensors"
    save_model(small_network(), weights)
    volumes = [small_volume(seed, (14 + 2 * seed, 48, 52)) for seed in range(VOLUMES)]
    wanted = [list(prompts_of_every_kind(volume).values()) for volume in volumes]
    expected = [
        [Session(small_network(), volume).mask(prompts) for prompts in each]
        for volume, each in zip(volumes, wanted, strict=True)
    ]
    process = Process(tmp_path / "server", "--weights", weights)
    pid = int(str(process.ready()["pid"]))
    memory: list[float] = []
    wrong: list[tuple[int, int]] = []

    def work(client: int) -> None:
        number = client % VOLUMES
        session = RemoteSession(process.connect(), volumes[number])
        for turn in range(PROMPTS_EACH):
            kind = (turn * 3 + client) % len(wanted[number])
            (final,) = (
                update
                for update in session.segment({f"segment {turn % 5}": wanted[number][kind]})
                if update.stage is RemoteStage.FINAL
            )
            if not np.array_equal(final.mask.whole(), expected[number][kind]):
                wrong.append((client, turn))
            memory.append(memory_mib(pid))

    threads = [threading.Thread(target=work, args=(client,)) for client in range(CLIENTS)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        process.end()
    assert len(memory) == CLIENTS * PROMPTS_EACH
    assert wrong == []
    early, late = max(memory[:WARM_UP]), max(memory[WARM_UP:])
    print(f"memory: {early:.0f} MiB in the first {WARM_UP} prompts, {late:.0f} MiB after")  # noqa: T201
    assert late < early + MAY_GROW_MIB
