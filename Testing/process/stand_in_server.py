"""A stand-in for `segvol serve` with the same contract, and one misbehaviour chosen by its name.

Run as ``stand_in_server.py BEHAVIOUR SCENE``, followed by what a Python would get.
What a test wants to see of it is written to the folder SCENE.
"""

import ctypes
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path


def main() -> None:
    behaviour, scene = sys.argv[1], Path(sys.argv[2])
    arguments = sys.argv[3:]
    options = dict(itertools.pairwise(arguments))
    record(scene, "seen", describe(arguments, options))

    if behaviour == "raises":
        raise ModuleNotFoundError("No module named 'torch'")
    if behaviour == "exits without a word":
        sys.exit(7)
    if behaviour == "crashes in native code":
        ctypes.string_at(0)
    if behaviour == "logs an error and exits":
        Path(options["--log-file"]).write_text(
            "2026-11-20 06:30:00 INFO starting\n"
            "2026-11-20 06:30:01 ERROR The GPU's driver is too old for this torch.\n"
            "2026-11-20 06:30:01 INFO stopped\n",
            encoding="utf-8",
        )
        sys.exit(1)
    if behaviour == "says why and exits":
        write_ready(options, {"error": "The weights starter.safetensors are damaged."})
        sys.exit(1)
    if behaviour == "says why and stays":
        write_ready(options, {"error": "The weights starter.safetensors are damaged."})
        time.sleep(60)
    if behaviour == "gives no JSON":
        Path(options["--ready-file"]).write_text("ready!", encoding="utf-8")
        time.sleep(60)
    if behaviour == "gives a foreign address":
        write_ready(options, {"url": "http://example.org:80", "pid": 1, "version": "0"})
        time.sleep(60)
    if behaviour == "never ready":
        time.sleep(60)

    if behaviour == "starts others":
        sleeper = (
            "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
        )
        parent = (
            "import subprocess, sys, time\n"
            f"print(subprocess.Popen([sys.executable, '-c', {sleeper!r}]).pid, flush=True)\n"
            "time.sleep(60)"
        )
        child = subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", parent], stdout=subprocess.PIPE, encoding="utf-8"
        )
        assert child.stdout is not None
        record(scene, "others", [child.pid, int(child.stdout.readline())])

    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=end_with_input, daemon=True).start()
    write_ready(options, {"url": "http://127.0.0.1:1", "pid": os.getpid(), "version": "9.9"})
    time.sleep(60)


def describe(arguments: list[str], options: dict[str, str]) -> dict[str, object]:
    token = Path(options["--token-file"])
    return {
        "arguments": arguments,
        "environment": dict(os.environ),
        "token": token.read_text(encoding="utf-8"),
        "token_mode": oct(token.stat().st_mode & 0o777),
        "folder_mode": oct(token.parent.stat().st_mode & 0o777),
        "session": os.getsid(0),
        "pid": os.getpid(),
    }


def record(scene: Path, name: str, content: object) -> None:
    partial = scene / f"{name}.partial"
    partial.write_text(json.dumps(content))
    partial.replace(scene / f"{name}.json")


def write_ready(options: dict[str, str], content: object) -> None:
    ready = Path(options["--ready-file"])
    partial = ready.with_name("ready.partial")
    partial.write_text(json.dumps(content))
    partial.replace(ready)


def end_with_input() -> None:
    while os.read(0, 1):
        pass
    os._exit(0)


main()
