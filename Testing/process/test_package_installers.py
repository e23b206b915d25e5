"""What uv and pip are asked, and what their failures are called. Their words are recorded ones."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from stand_ins import wait_until

from segvol_core.packages import installing
from segvol_core.packages.failures import explain, without_secrets
from segvol_core.packages.installers import (
    Installation,
    answering_index,
    installer_environment,
    nvidia_driver,
    pip_command,
    pytorch_index,
    uv_command,
)
from segvol_core.packages.status import MARKER

WHEELS = Path("/media/wheels")


@pytest.mark.parametrize(
    ("platform", "cuda_version", "index"),
    [
        ("linux", None, "https://download.pytorch.org/whl/cpu"),
        ("linux", (11, 8), "https://download.pytorch.org/whl/cpu"),
        ("linux", (12, 4), "https://download.pytorch.org/whl/cu126"),
        ("win32", (13, 1), "https://download.pytorch.org/whl/cu130"),
        ("win32", None, None),
        ("darwin", None, None),
    ],
)
def test_pip_gets_the_pytorch_that_fits_the_card(platform, cuda_version, index):
    assert pytorch_index(platform, cuda_version) == index


@pytest.mark.parametrize(
    ("answer", "version"),
    [
        ("| NVIDIA-SMI 550.54   Driver Version: 550.54   CUDA Version: 12.4 |", (12, 4)),
        ("| NVIDIA-SMI 600.10   KMD Version: 600.10   CUDA UMD Version: 13.1 |", (13, 1)),
        ("No devices were found", None),
    ],
)
def test_the_driver_is_asked_for_its_cuda(tmp_path, monkeypatch, answer, version):
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\necho '{answer}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert nvidia_driver() == version


def test_without_an_nvidia_card_there_is_no_driver(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert nvidia_driver() is None


def test_online_uv_chooses_the_build_of_pytorch_itself(tmp_path):
    plan = Installation(Path("py"), tmp_path, tmp_path / "new", Path("list.txt"))
    assert "--torch-backend auto -r list.txt" in " ".join(uv_command(["uv"], plan))
    offline = Installation(Path("py"), tmp_path, tmp_path / "new", Path("list.txt"), WHEELS)
    for command in (uv_command(["uv"], offline), pip_command(offline)):
        assert "--no-index --find-links /media/wheels -r list.txt" in " ".join(command)


@pytest.mark.parametrize("answers", [True, False])
def test_pip_is_given_pytorchs_index_only_if_that_answers(tmp_path, monkeypatch, answers):
    """It asks an index for every package, and waits for one that a firewall drops each time."""
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("PATH", str(tmp_path))  # no NVIDIA driver
    plan = Installation(Path("py"), tmp_path, tmp_path / "new", Path("list.txt"))
    asked = []

    def run(command):
        asked.append(" ".join(command))
        return 0 if answers else 1

    index = answering_index(plan, run)
    (question,) = asked
    assert "pip index versions torch --index-url https://download.pytorch.org/whl/cpu" in question
    assert "--retries 0" in question
    assert ("https://download.pytorch.org/whl/cpu" in pip_command(plan, index)) == answers


def test_a_folder_of_wheels_is_asked_alone(tmp_path):
    plan = Installation(Path("py"), tmp_path, tmp_path / "new", Path("list.txt"), WHEELS)
    assert answering_index(plan, lambda _: pytest.fail("an index was asked")) is None


def test_proxies_and_mirrors_reach_the_installers_and_other_targets_do_not(tmp_path):
    environment = installer_environment(
        tmp_path / "py3",
        {
            "HTTPS_PROXY": "http://proxy:3128",
            "PIP_INDEX_URL": "https://mirror",
            "PIP_TARGET": "/Slicer/site-packages",
            "PIP_USER": "1",
            "UV_SYSTEM_PYTHON": "1",
        },
    )
    assert environment["HTTPS_PROXY"] == "http://proxy:3128"
    assert environment["PIP_INDEX_URL"] == "https://mirror"
    assert not {"PIP_TARGET", "PIP_USER", "UV_SYSTEM_PYTHON"} & environment.keys()
    for name in ("TMPDIR", "UV_CACHE_DIR", "PIP_CACHE_DIR"):
        assert Path(environment[name]).is_relative_to(tmp_path / "py3.download")


def test_a_long_download_shows_how_far_it_is(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(installing, "_SECONDS_BETWEEN_SIZES", 0.01)
    plan = Installation(Path("py"), tmp_path / "py3", tmp_path / "py3.new", Path("list.txt"))
    installer = installing.Installer(plan, 0, keep_installed=False)
    (tmp_path / "py3.download" / "torch.part").write_bytes(bytes(3_000_000))
    done, said = threading.Event(), [""]
    thread = threading.Thread(target=installer._tell_size, args=(done,))
    thread.start()

    def told(line: str) -> bool:
        said[0] += capsys.readouterr().out
        return line in said[0]

    try:
        wait_until(lambda: told("3 MB so far.\n"))
        (tmp_path / "py3.new").mkdir()
        (tmp_path / "py3.new" / "torch").write_bytes(bytes(2_000_000))
        wait_until(lambda: told("5 MB so far.\n"))
    finally:
        done.set()
        thread.join()
    assert said[0].count("3 MB") == 1  # said once, not every time


def test_a_disk_without_hard_links_gets_copies(tmp_path, monkeypatch):
    def refuse(*_paths: str) -> None:
        raise OSError(95, "Operation not supported")

    (tmp_path / "py3").mkdir()
    (tmp_path / "py3" / "alpha.py").write_text("alpha")
    (tmp_path / "py3" / MARKER).write_text("{}")
    monkeypatch.setattr(os, "link", refuse)
    installing._copy_links(tmp_path / "py3", tmp_path / "py3.new")
    assert [path.name for path in (tmp_path / "py3.new").iterdir()] == ["alpha.py"]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("error: Request failed after 3 retries in 10.0s", "Installing failed: Request failed"),
        ("  cause: tcp connect error", "The package index cannot be reached."),
        ("  cause: dns error: failed to lookup address", "The package index cannot be reached."),
        ("NewConnectionError(\"HTTPSConnection(host='x')", "The package index cannot be reached."),
        ("tunnel error: 407 Proxy Authentication Required", "The proxy asks for a user name"),
        ("invalid peer certificate: UnknownIssuer", "The certificate of the package index"),
        ("SSLError: CERTIFICATE_VERIFY_FAILED", "The certificate of the package index"),
        ("OSError: [Errno 28] No space left on device", "The disk became full."),
        ("ERROR: No matching distribution found for torch>=2.6", "There is no version of torch "),
        ("something unheard of", "Installing failed."),
    ],
)
def test_a_failure_on_the_internet_is_a_sentence(line, sentence):
    assert explain(["Using CPython 3.11.7", line], wheels=None).startswith(sentence)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            "  cause: Because gamma was not found in the provided package locations and you",
            "/media/wheels has no wheel of gamma that fits",
        ),
        (
            "ERROR: No matching distribution found for gamma>=1",
            "/media/wheels has no wheel of gamma that fits",
        ),
        (
            "ERROR: Wheel 'alpha' located at /media/wheels/alpha-1.0-py3-none-any.whl is invalid.",
            "The package file of alpha is damaged; copy it to /media/wheels again.",
        ),
        (
            "  cause: Because alpha==1.0 has an invalid package format and you require alpha==1.0",
            "The package file of alpha is damaged; copy it to /media/wheels again.",
        ),
    ],
)
def test_a_failure_with_a_folder_of_wheels_is_a_sentence(line, sentence):
    assert explain([line], wheels=WHEELS).startswith(sentence)


def test_passwords_of_proxies_are_not_logged():
    line = "Failed to connect to http://anna:geheim@proxy:3128/ via https://u:p@mirror"
    assert without_secrets(line) == (
        "Failed to connect to http://***@proxy:3128/ via https://***@mirror"
    )
