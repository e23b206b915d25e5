"""What `segvol info` says of this computer and of a CT."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from segvol_core import __version__
from segvol_core.cli.command_group import noted_warnings
from segvol_core.devices import Device, available_devices, choose_device
from segvol_core.errors import WeightsError
from segvol_core.volume import Volume
from segvol_core.volume_io import read_volume
from segvol_core.weights_folder import SEGVOL, STARTER, weights_path

_GIB, _MB = 2**30, 10**6
Lines = list[tuple[str, str]]


@dataclass(frozen=True)
class Weights:
    """Named weights.

    Attributes
    ----------
    name
        What `--weights` takes.
    file, bytes
        Where they are and how large; None if they are not on this computer.
    problem
        Why not, or None.
    """

    name: str
    file: Path | None
    bytes: int | None
    problem: str | None


@dataclass(frozen=True)
class Computer:
    """Versions, devices and weights.

    Attributes
    ----------
    segvol, python, torch
        Versions.
    system
        Operating system and kind of processor.
    devices
        What a network can run on.
    default_device
        What `--device auto` takes.
    threads
        That PyTorch uses on the CPU.
    memory_bytes
        Of the computer; None where the system does not tell (Windows).
    weights
        Starter and published.
    """

    segvol: str
    python: str
    torch: str
    system: str
    devices: list[Device]
    default_device: str
    threads: int
    memory_bytes: int | None
    weights: list[Weights]

    def lines(self) -> Lines:
        """Titles and values to print."""
        memory = "unknown" if self.memory_bytes is None else _gib(self.memory_bytes)
        devices = [("Device", _device_line(d, self.default_device)) for d in self.devices]
        weights = [("Weights", _weights_line(w)) for w in self.weights]
        return [
            ("SegVol", self.segvol),
            ("Python", self.python),
            ("PyTorch", self.torch),
            ("System", self.system),
            ("Memory", memory),
            ("Threads", str(self.threads)),
            *devices,
            *weights,
        ]


@dataclass(frozen=True)
class Ct:
    """A CT as it was read.

    Attributes
    ----------
    shape_ijk
        Voxels along i, j and k.
    spacing_ijk
        Millimetres between neighbouring voxels.
    orientation
        Where i, j and k go, to the nearest axis: "LPS" is left, posterior, superior.
    oblique_degrees
        Largest angle between an axis of the voxels and its nearest axis of the patient.
    low_ras, high_ras
        Smallest and largest coordinates of voxel centres, in RAS millimetres.
    voxel_type
        Type of the numbers.
    lowest, highest
        Hounsfield units.
    warnings
        Sentences for the user.
    """

    shape_ijk: list[int]
    spacing_ijk: list[float]
    orientation: str
    oblique_degrees: float
    low_ras: list[float]
    high_ras: list[float]
    voxel_type: str
    lowest: float
    highest: float
    warnings: list[str]

    def lines(self) -> Lines:
        """Titles and values to print; warnings have gone to stderr."""
        oblique = f", oblique by {self.oblique_degrees:.1f} degrees"
        extent = zip("RAS", self.low_ras, self.high_ras, strict=True)
        return [
            ("Voxels (i, j, k)", " x ".join(str(n) for n in self.shape_ijk)),
            ("Spacing", " x ".join(f"{mm:.4g}" for mm in self.spacing_ijk) + " mm"),
            ("Orientation", self.orientation + (oblique if self.oblique_degrees >= 0.05 else "")),
            (
                "Extent",
                ", ".join(f"{c} {low:.1f} to {high:.1f}" for c, low, high in extent) + " mm",
            ),
            ("Values", f"{self.lowest:g} to {self.highest:g} HU ({self.voxel_type})"),
        ]


def describe_computer() -> Computer:
    """Look at this installation and this computer."""
    return Computer(
        segvol=__version__,
        python=platform.python_version(),
        torch=torch.__version__,
        system=f"{platform.system()} {platform.release()} ({platform.machine()})",
        devices=available_devices(),
        default_device=str(choose_device()),
        threads=torch.get_num_threads(),
        memory_bytes=_memory_bytes(),
        weights=[_named_weights(name) for name in (STARTER, SEGVOL)],
    )


def describe_ct(path: Path, series: str | None) -> Ct:
    """Read a CT and describe it.

    Raises
    ------
    VolumeError
        If it cannot be read as a volume.
    """
    with noted_warnings() as noted:
        volume = read_volume(path, series)
    corners = volume.ras_of_ijk(_corner_voxels(volume))
    return Ct(
        shape_ijk=list(volume.shape_kji[::-1]),
        spacing_ijk=volume.spacing_ijk.tolist(),
        orientation=_orientation(volume),
        oblique_degrees=_oblique_degrees(volume),
        low_ras=corners.min(axis=0).tolist(),
        high_ras=corners.max(axis=0).tolist(),
        voxel_type=str(volume.voxels.dtype),
        lowest=float(volume.voxels.min()),
        highest=float(volume.voxels.max()),
        warnings=noted,
    )


def _orientation(volume: Volume) -> str:
    canonical = volume.canonical()
    letters = {}
    for pair, axis, flipped in zip(
        ("SI", "AP", "RL"), canonical.axes, canonical.flipped, strict=True
    ):
        letters[2 - axis] = pair[flipped]
    return "".join(letters[axis] for axis in range(3))


def _oblique_degrees(volume: Volume) -> float:
    cosines = np.abs(volume.ijk_to_ras[:3, :3]) / volume.spacing_ijk
    return float(np.degrees(np.arccos(cosines.max(axis=0).clip(0, 1))).max())


def _corner_voxels(volume: Volume) -> list[list[int]]:
    i, j, k = (n - 1 for n in volume.shape_kji[::-1])
    return [[a, b, c] for a in (0, i) for b in (0, j) for c in (0, k)]


def _named_weights(name: str) -> Weights:
    try:
        file = weights_path(name)
    except WeightsError as error:
        return Weights(name, None, None, str(error))
    return Weights(name, file, file.stat().st_size, None)


def _memory_bytes() -> int | None:
    if sys.platform == "win32":
        return None
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _device_line(device: Device, default: str) -> str:
    memory = "" if device.memory_bytes is None else f", {_gib(device.memory_bytes)}"
    chosen = ", used by default" if device.name == default else ""
    return f"{device.name} ({device.description}{memory}){chosen}"


def _weights_line(weights: Weights) -> str:
    if weights.file is None or weights.bytes is None:
        return f"{weights.name}: {weights.problem}"
    return f"{weights.name}: {weights.file} ({weights.bytes / _MB:.0f} MB)"


def _gib(number: int) -> str:
    return f"{number / _GIB:.1f} GiB"
