"""What the processes below a process are, and where they listen. Linux only."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

_REPLICA = "ray::ServeReplica"


def pids_of(pid: int) -> list[int]:
    """A process and all below it."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (parent := _parent(folder)) is not None:
            children.setdefault(parent, []).append(int(folder.name))
    found = [pid]
    for each in found:
        found += children.get(each, [])
    return found


def is_running(pid: int) -> bool:
    """Whether a process lives; one that has ended and was not waited for does not."""
    try:
        return (
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
            != "Z"
        )
    except OSError:
        return False


def replica_pids(pid: int) -> list[int]:
    """Replicas of Ray Serve below a process."""
    return sorted(each for each in pids_of(pid) if "".join(command_line(each)).startswith(_REPLICA))


def listening_addresses(pids: list[int]) -> list[tuple[int, str, int]]:
    """Processes with the addresses and ports that they listen on."""
    sockets = {**_listening("tcp", socket.AF_INET), **_listening("tcp6", socket.AF_INET6)}
    found = []
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                target = str(descriptor.readlink())
            except OSError:
                continue
            if target in sockets:
                found.append((pid, *sockets[target]))
    return found


def _listening(table: str, family: socket.AddressFamily) -> dict[str, tuple[str, int]]:
    found = {}
    for line in Path(f"/proc/net/{table}").read_text(encoding="utf-8").splitlines()[1:]:
        words = line.split()
        if words[3] == "0A":
            address, _, port = words[1].partition(":")
            digits = bytes.fromhex(address)
            numbers = struct.unpack(f"<{len(digits) // 4}I", digits)
            packed = struct.pack(f">{len(numbers)}I", *numbers)
            found[f"socket:[{words[9]}]"] = (socket.inet_ntop(family, packed), int(port, 16))
    return found


def _parent(folder: Path) -> int | None:
    try:
        return int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def command_line(pid: int) -> list[str]:
    """Words that a process was started with."""
    return _null_terminated(Path(f"/proc/{pid}/cmdline"))


def environment(pid: int) -> dict[str, str]:
    """Environment that a process was started with."""
    words = _null_terminated(Path(f"/proc/{pid}/environ"))
    return {name: value for name, _, value in (word.partition("=") for word in words)}


def _null_terminated(path: Path) -> list[str]:
    try:
        return path.read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []
