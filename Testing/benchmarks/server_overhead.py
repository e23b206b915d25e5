"""What the inference process costs: `python Testing/benchmarks/server_overhead.py`.

On a volume of 512 x 512 x 300: upload on loopback (bar: 300 MB/s), how much longer the next prompt
takes than in one's own process (bar: 60 ms), and what the server does while it has nothing to do.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "server"))

from server_process import Process

from segvol_core.client import CroppedMask, RemoteSession, RemoteStage
from segvol_core.prompts import Box, Prompts
from segvol_core.session import Session
from segvol_core.volume import Volume
from segvol_core.weights import load_model

SHAPE_KJI = (300, 512, 512)
MATRIX = np.diag([-0.8, -0.8, 1.25, 1.0])


def scan() -> Volume:
    """A body of soft tissue in air with noise, in LPS axes as scanners give them."""
    k, j, i = np.ogrid[: SHAPE_KJI[0], : SHAPE_KJI[1], : SHAPE_KJI[2]]
    body = ((j - 256) / 180) ** 2 + ((i - 256) / 220) ** 2 < 1
    noise = np.random.default_rng(0).integers(-80, 80, SHAPE_KJI, dtype=np.int16)
    voxels = np.where(body & (k >= 0), np.int16(40), np.int16(-900)) + noise
    return Volume(voxels, MATRIX)


def boxes(volume: Volume, count: int) -> list[Prompts]:
    """Boxes of the size of a kidney, each a little further on."""
    corners = [([150 + n, 200, 120], [230 + n, 290, 180]) for n in range(count)]
    return [
        Prompts(box=Box.from_bounds(volume.ras_of_ijk(low), volume.ras_of_ijk(high)))
        for low, high in corners
    ]


def milliseconds(action: Callable[[], object]) -> float:
    begin = time.perf_counter()
    action()
    return (time.perf_counter() - begin) * 1000


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def upload_rates(process: Process, pid: int, volume: Volume, repeats: int) -> list[list[float]]:
    """MB/s of whole uploads, checksums on both sides included: of the clock, and of a processor."""
    rates = []
    megabytes = volume.voxels.nbytes / 1e6
    for _ in range(repeats):
        session = RemoteSession(process.connect(), volume)
        used = time.process_time() + processor_seconds(pid)
        seconds = milliseconds(lambda s=session: [*s.upload()]) / 1000
        used = time.process_time() + processor_seconds(pid) - used
        rates.append([megabytes / seconds, megabytes / used])
        session.close()
        time.sleep(8)  # The server may have begun to prepare it.
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default="starter")
    parser.add_argument("--prompts", type=int, default=12)
    parser.add_argument("--uploads", type=int, default=4)
    options = parser.parse_args()
    volume = scan()
    prompts = boxes(volume, options.prompts)
    with tempfile.TemporaryDirectory() as folder:
        process = Process(Path(folder) / "server", "--weights", options.weights)
        pid = int(str(process.ready()["pid"]))
        try:
            rates = upload_rates(process, pid, volume, options.uploads)
            here = Session(load_model(options.weights), volume)
            there = RemoteSession(process.connect(), volume)
            expected = here.mask(prompts[0])
            (first,) = finals(there, prompts[0])
            assert np.array_equal(first.whole(), expected), "the masks differ"
            while (used := processor_seconds(pid)) != (time.sleep(2) or processor_seconds(pid)):
                print(f"the server encodes ahead, {used:.0f} s of a processor so far", flush=True)
            directly, remotely, processor = [], [], []
            for each in prompts:
                here.mask(each)  # What it needs is encoded now.
                finals(there, each)
                begin = time.process_time()
                directly.append(milliseconds(lambda p=each: here.mask(p)))
                middle, used = time.process_time(), processor_seconds(pid)
                remotely.append(milliseconds(lambda p=each: finals(there, p)))
                used = processor_seconds(pid) - used + time.process_time() - middle
                processor.append((used - (middle - begin)) * 1000)
            begin = processor_seconds(pid)
            time.sleep(30)
            idle = (processor_seconds(pid) - begin) / 30
        finally:
            process.end()
    extra = [b - a for a, b in zip(directly, remotely, strict=True)]
    elapsed, processors = zip(*rates, strict=True)
    print(
        f"upload: {max(elapsed):.0f} MB/s at best, median {statistics.median(elapsed):.0f}; "
        f"{statistics.median(processors):.0f} MB per second of processor, both sides together"
    )
    print(
        f"next prompt: {statistics.median(directly):.0f} ms here, "
        f"{statistics.median(remotely):.0f} ms by the server: {statistics.median(extra):+.0f} ms "
        f"(median of the differences; best against best {min(remotely) - min(directly):+.0f} ms)"
    )
    print(
        f"of that, processor time of server and client together: "
        f"{statistics.mean(processor):+.0f} ms, whatever else this machine does"
    )
    print(f"idle: {idle:.2%} of a processor")


def finals(session: RemoteSession, prompts: Prompts) -> list[CroppedMask]:
    return [
        update.mask
        for update in session.segment({"segment": prompts})
        if update.stage is RemoteStage.FINAL
    ]


if __name__ == "__main__":
    main()
