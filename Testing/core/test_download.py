"""`segvol download`: what arrives, what is kept, and what the user is told when it does not."""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
import torch
from huggingface_hub.utils import WeakFileLock
from small_config import SMALL
from stand_in_hub import COMMIT, StandInHub, running_hub

from segvol_core import hub as hub_module
from segvol_core.download import download_segvol, install_segvol
from segvol_core.errors import WeightsError
from segvol_core.model.segvol import SegVol
from segvol_core.weights import load_model, save_model
from segvol_core.weights_folder import segvol_file

FILE = "pytorch_model.bin"


class CancelledError(Exception):
    """What a panel's progress callback raises."""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SEGVOL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
    monkeypatch.setattr(hub_module, "_SECONDS_BETWEEN_ATTEMPTS", 0.0)
    huggingface_hub.close_session()
    yield tmp_path / "home"
    huggingface_hub.close_session()


@pytest.fixture(scope="session")
def published(small: SegVol) -> bytes:
    file = io.BytesIO()
    torch.save({f"model.{name}": tensor for name, tensor in small.state_dict().items()}, file)
    return file.getvalue()


@pytest.fixture
def hub(published: bytes) -> Iterator[StandInHub]:
    with running_hub({FILE: published, "README.md": b"# SegVol"}) as running:
        yield running


@pytest.fixture
def earlier(home: Path) -> bytes:
    """Weights that are in place already, to be lost by nothing that fails."""
    home.mkdir()
    segvol_file().write_bytes(b"weights of an earlier download")
    return segvol_file().read_bytes()


def download(hub: StandInHub, **options: object) -> Path:
    return download_segvol(endpoint=hub.endpoint, config=SMALL, **options)


def partials(home: Path) -> list[Path]:
    return list(home.glob("*.partial"))


def test_the_downloaded_weights_are_those_that_load(
    hub: StandInHub, home: Path, small: SegVol, published: bytes
) -> None:
    reported: list[tuple[str, int, int]] = []
    path = download(hub, progress=lambda *now: reported.append(now))
    assert path == segvol_file()
    assert path.read_bytes() == published
    assert partials(home) == []
    loaded = load_model("segvol", config=SMALL).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in small.state_dict().items())
    for step in ("download", "check"):
        done = [done for reported_step, done, _ in reported if reported_step == step]
        assert done == sorted(done)
        assert done[-1] == len(published)
    assert {total for _, _, total in reported} == {len(published)}


def test_a_second_download_fetches_nothing(hub: StandInHub) -> None:
    download(hub)
    download(hub, revision=COMMIT)
    assert len(hub.content_requests) == 1


def test_the_safetensors_file_is_preferred(hub: StandInHub, small: SegVol, tmp_path: Path) -> None:
    save_model(small, tmp_path / "model.safetensors")
    hub.files["model.safetensors"] = (tmp_path / "model.safetensors").read_bytes()
    assert download(hub).read_bytes() == hub.files["model.safetensors"]


def test_damaged_weights_in_place_are_replaced(
    hub: StandInHub, earlier: bytes, published: bytes
) -> None:
    assert download(hub).read_bytes() == published


def test_a_connection_that_breaks_is_taken_up_again(hub: StandInHub, published: bytes) -> None:
    hub.cut_after, hub.cuts = len(published) // 3, 2
    assert download(hub).read_bytes() == published
    assert len(hub.content_requests) == 3
    first, *later = hub.content_requests
    assert first is None
    offsets = [int(asked.removeprefix("bytes=").removesuffix("-")) for asked in later]
    assert 0 < offsets[0] < offsets[1] < len(published)


def test_the_next_download_continues_where_a_broken_one_ended(
    hub: StandInHub, earlier: bytes, home: Path, published: bytes
) -> None:
    hub.cut_after, hub.cuts = len(published) // 2, 1
    hub.content_status = 200

    def server_dies(_step: str, done: int, _total: int) -> None:
        if done > len(published) // 4:
            hub.content_status = 503

    with pytest.raises(WeightsError, match=r"status 503.*are kept, and the next download"):
        download(hub, progress=server_dies)
    assert segvol_file().read_bytes() == earlier
    (partial,) = partials(home)
    kept = partial.stat().st_size
    assert 0 < kept < len(published)

    hub.content_status = 200
    hub.content_requests.clear()
    assert download(hub).read_bytes() == published
    assert hub.content_requests == [f"bytes={kept}-"]
    assert partials(home) == []


def test_a_server_without_ranges_still_gives_the_right_file(
    hub: StandInHub, published: bytes
) -> None:
    hub.cut_after, hub.cuts, hub.knows_ranges = len(published) // 2, 1, False
    assert download(hub).read_bytes() == published


def test_what_was_fetched_of_another_revision_is_not_continued(
    hub: StandInHub, home: Path, small: SegVol, tmp_path: Path
) -> None:
    def cancel(_step: str, done: int, _total: int) -> None:
        if done:
            raise CancelledError

    with pytest.raises(CancelledError):
        download(hub, progress=cancel)
    assert len(partials(home)) == 1
    save_model(small, tmp_path / "newer.safetensors", {"note": "a newer revision"})
    hub.files[FILE] = (tmp_path / "newer.safetensors").read_bytes()
    assert download(hub).read_bytes() == hub.files[FILE]
    assert hub.content_requests == [None, None]
    assert partials(home) == []


def test_cancelling_keeps_what_was_fetched(
    hub: StandInHub, earlier: bytes, home: Path, published: bytes
) -> None:
    def cancel(_step: str, done: int, _total: int) -> None:
        if done > len(published) // 3:
            raise CancelledError

    with pytest.raises(CancelledError):
        download(hub, progress=cancel)
    assert segvol_file().read_bytes() == earlier
    (partial,) = partials(home)
    assert published.startswith(partial.read_bytes())

    kept = partial.stat().st_size
    assert download(hub).read_bytes() == published
    assert hub.content_requests[1] == f"bytes={kept}-"


def test_cancelling_the_check_keeps_the_whole_download(
    hub: StandInHub, home: Path, published: bytes
) -> None:
    def cancel(step: str, _done: int, _total: int) -> None:
        if step == "check":
            raise CancelledError

    with pytest.raises(CancelledError):
        download(hub, progress=cancel)
    assert not segvol_file().exists()
    assert download(hub).read_bytes() == published
    assert len(hub.content_requests) == 1


def test_an_error_of_the_progress_callback_is_not_taken_for_one_of_the_disk(
    hub: StandInHub,
) -> None:
    def broken_pipe(_step: str, _done: int, _total: int) -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        download(hub, progress=broken_pipe)


def test_content_that_is_not_what_the_hub_promised_is_deleted(
    hub: StandInHub, earlier: bytes, home: Path, published: bytes
) -> None:
    hub.swapped = published[:-1] + bytes([published[-1] ^ 1])
    with pytest.raises(WeightsError, match="checksum"):
        download(hub)
    assert segvol_file().read_bytes() == earlier
    assert partials(home) == []


def test_more_content_than_promised_ends_the_download(
    hub: StandInHub, home: Path, published: bytes
) -> None:
    hub.swapped = published * 3
    fetched: list[int] = []
    with pytest.raises(WeightsError, match="checksum"):
        download(hub, progress=lambda step, done, _: fetched.append(done * (step == "download")))
    assert max(fetched) < 2 * len(published)
    assert partials(home) == []


def test_an_intact_file_that_is_not_the_model_is_not_installed(
    hub: StandInHub, earlier: bytes, home: Path
) -> None:
    hub.files[FILE] = b"<!DOCTYPE html><title>Moved</title>"
    with pytest.raises(WeightsError, match="web page"):
        download(hub)
    assert segvol_file().read_bytes() == earlier
    assert partials(home) == []


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, r"refused to you \(status 401\).*token"),
        (403, r"refused to you \(status 403\).*token"),
        (404, r"There is no .*BAAI/SegVol.*status 404"),
        (429, r"status 429\). Try again later"),
        (500, r"has a problem \(status 500\). Try again later"),
    ],
)
def test_a_refusal_of_the_hub_is_a_sentence(
    hub: StandInHub, earlier: bytes, status: int, says: str
) -> None:
    hub.api_status = status
    with pytest.raises(WeightsError, match=says):
        download(hub)
    hub.api_status, hub.content_status = 200, status
    with pytest.raises(WeightsError, match=f"status {status}"):
        download(hub)
    assert segvol_file().read_bytes() == earlier


def test_an_unknown_revision_is_named(hub: StandInHub) -> None:
    with pytest.raises(WeightsError, match=r"no .*revision v9"):
        download(hub, revision="v9")


def test_a_repository_without_weights_is_named(hub: StandInHub) -> None:
    del hub.files[FILE]
    with pytest.raises(WeightsError, match=r"BAAI/SegVol has no model\.safetensors or "):
        download(hub)


def test_a_file_without_checksum_is_not_downloaded(hub: StandInHub) -> None:
    hub.checksums = False
    with pytest.raises(WeightsError, match="no checksum"):
        download(hub)
    assert hub.content_requests == []


def test_a_login_page_instead_of_the_hub_is_recognised(hub: StandInHub) -> None:
    hub.api_page = b"<html><title>Guest network</title></html>"
    with pytest.raises(WeightsError, match="login page"):
        download(hub)


def test_a_login_page_instead_of_the_file_is_recognised(hub: StandInHub, home: Path) -> None:
    hub.content_page = b"<html><title>Guest network</title></html>"
    with pytest.raises(WeightsError, match="login page"):
        download(hub)
    assert partials(home) == []


def test_without_a_network_the_user_learns_of_the_way_by_hand(earlier: bytes) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(WeightsError, match=r"cannot be reached \(.*refused.*--from FILE"):
            download_segvol(endpoint=endpoint)
    with pytest.raises(WeightsError, match=r"cannot be reached \(.*--from FILE"):
        download_segvol(endpoint="http://no-such-host.invalid")
    with pytest.raises(WeightsError, match=r"cannot be reached \(.*protocol"):
        download_segvol(endpoint="hub.example")
    assert segvol_file().read_bytes() == earlier


def test_a_certificate_that_is_not_trusted_is_explained() -> None:
    # Words of Python's ssl module for the certificate of a hospital's inspecting proxy.
    error = ConnectionError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")
    assert "SSL_CERT_FILE" in hub_module._explanation(error, "https://huggingface.co")


def test_offline_mode_is_respected(hub: StandInHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match="HF_HUB_OFFLINE is set"):
        download(hub)


def test_a_proxy_is_used(
    hub: StandInHub, monkeypatch: pytest.MonkeyPatch, published: bytes
) -> None:
    monkeypatch.setenv("HTTP_PROXY", hub.endpoint)
    monkeypatch.setenv("http_proxy", hub.endpoint)
    path = download_segvol(endpoint="http://hub.invalid", config=SMALL)
    assert path.read_bytes() == published


def test_a_mirror_is_taken_from_the_environment_and_the_hub_client_imported_late(
    hub: StandInHub, published: bytes
) -> None:
    program = """
import sys
import segvol_core.download
assert "huggingface_hub" not in sys.modules
sys.path.insert(0, sys.argv[1])
from small_config import SMALL
segvol_core.download.download_segvol(config=SMALL)
"""
    environment = {**os.environ, "HF_ENDPOINT": hub.endpoint, "NO_PROXY": "127.0.0.1"}
    command = [sys.executable, "-c", program, str(Path(__file__).parent)]
    subprocess.run(command, check=True, env=environment)  # noqa: S603
    assert segvol_file().read_bytes() == published


def test_a_full_disk_is_found_before_the_download(
    hub: StandInHub, monkeypatch: pytest.MonkeyPatch, earlier: bytes, tmp_path: Path
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=1))
    with pytest.raises(WeightsError, match="too full"):
        download(hub)
    assert hub.content_requests == []
    (tmp_path / FILE).write_bytes(hub.files[FILE])
    with pytest.raises(WeightsError, match="too full"):
        install_segvol(tmp_path / FILE, config=SMALL)
    assert segvol_file().read_bytes() == earlier


def test_a_second_download_at_the_same_time_is_told_to_wait(hub: StandInHub, home: Path) -> None:
    home.mkdir()
    with (
        WeakFileLock(home / "segvol.ckpt.lock"),
        pytest.raises(WeightsError, match="Another `segvol download`"),
    ):
        download(hub)
    download(hub)


def test_a_folder_that_cannot_be_made_is_named(
    hub: StandInHub, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.write_text("a file in the way", encoding="utf-8")
    with pytest.raises(WeightsError, match="SEGVOL_HOME"):
        download(hub)


def test_a_copy_on_disk_is_installed(
    home: Path, tmp_path: Path, published: bytes, small: SegVol
) -> None:
    (tmp_path / FILE).write_bytes(published)
    reported: list[tuple[str, int, int]] = []
    path = install_segvol(tmp_path / FILE, config=SMALL, progress=lambda *now: reported.append(now))
    assert path.read_bytes() == published
    assert reported[-1] == ("copy", len(published), len(published))
    assert partials(home) == []
    load_model("segvol", config=SMALL)
    assert install_segvol(path, config=SMALL) == path


def test_a_copy_that_is_not_the_model_is_not_installed(earlier: bytes, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"<html>")
    with pytest.raises(WeightsError, match="web page"):
        install_segvol(tmp_path / FILE)
    with pytest.raises(WeightsError, match="There is no file"):
        install_segvol(tmp_path / "absent.bin")
    assert segvol_file().read_bytes() == earlier


def test_cancelling_a_copy_leaves_nothing_behind(
    home: Path, earlier: bytes, tmp_path: Path, published: bytes
) -> None:
    (tmp_path / FILE).write_bytes(published)

    def cancel(_step: str, _done: int, _total: int) -> None:
        raise CancelledError

    with pytest.raises(CancelledError):
        install_segvol(tmp_path / FILE, config=SMALL, progress=cancel)
    assert segvol_file().read_bytes() == earlier
    assert partials(home) == []
