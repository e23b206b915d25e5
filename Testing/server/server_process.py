"""`segvol serve` in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from running_server import TOKEN, until

from segvol_core.client import Connection


class Process:
    """A server, started as the extension starts it."""

    def __init__(self, folder: Path, *options: object, inside: tuple[str, ...] = ()) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.ready_file = folder / "ready.json"
        self.log_file = folder / "server.log"
        token_file = folder / "token"
        token_file.write_text(TOKEN)
        token_file.chmod(0o600)
        given = {
            "--port": 0,
            "--token-file": token_file,
            "--ready-file": self.ready_file,
            "--log-file": self.log_file,
            **dict(zip(options[::2], options[1::2], strict=True)),
        }
        words = [str(word) for option in given.items() for word in option if word != ""]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.popen = subprocess.Popen(  # noqa: S603
            [*inside, sys.executable, "-m", "segvol_core.cli", "serve", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        )

    def ready(self) -> dict[str, object]:
        until(self.ready_file.exists, 120)
        answer: dict[str, object] = json.loads(self.ready_file.read_text())
        return answer

    def connect(self) -> Connection:
        return Connection(str(self.ready()["url"]), TOKEN, timeout_seconds=60.0)

    def end(self) -> None:
        self.popen.kill()
        self.popen.communicate()
