"""A volume arrives as it was sent, in pieces, in any order, after any break."""

from __future__ import annotations

import random
import zlib
from typing import Any

import numpy as np
import pytest
import requests
from running_server import CLIENT, TOKEN, RunningServer, one_mask, until
from small_network import prompts_of_every_kind, small_volume

from segvol_core.client import Connection, RemoteSession, ServerGoneError
from segvol_core.errors import VolumeError
from segvol_core.session import Session
from segvol_core.volume import Volume
from segvol_core.wire import CHECKSUM_HEADER, VOXEL_TYPES

CHUNK = 64 * 1024


def announce(server: RunningServer, volume: Volume, **changes: Any) -> requests.Response:
    body = {
        "shape_kji": list(volume.shape_kji),
        "voxel_type": volume.voxels.dtype.name,
        "ijk_to_ras": volume.ijk_to_ras.tolist(),
        "chunk_bytes": CHUNK,
        **changes,
    }
    return server.call("POST", "/v1/volumes", json=body)


def send(
    server: RunningServer, name: str, index: int, data: bytes, checksum: str | None = None
) -> requests.Response:
    right = f"{zlib.crc32(data):08x}"
    return server.call(
        "PUT",
        f"/v1/volumes/{name}/chunks/{index}",
        data=data,
        headers={CHECKSUM_HEADER: checksum or right},
    )


def chunks_of(volume: Volume) -> list[bytes]:
    data = volume.voxels.tobytes()
    return [data[start : start + CHUNK] for start in range(0, len(data), CHUNK)]


def stored_voxels(server: RunningServer, name: str) -> np.ndarray:
    return server.engine.volume(CLIENT, name).voxels()


@pytest.fixture(scope="module")
def two_chunks() -> Volume:
    return small_volume(shape=(20, 48, 48))


def test_chunks_may_come_in_any_order(server: RunningServer, two_chunks: Volume) -> None:
    chunks = chunks_of(two_chunks)
    assert len(chunks) == 2
    assert len(chunks[-1]) < CHUNK
    answer = announce(server, two_chunks)
    assert answer.status_code == 201
    name = answer.json()["volume"]
    assert answer.json()["missing"] == [0, 1]
    for index in (1, 0):
        assert send(server, name, index, chunks[index]).status_code == 200
    until(lambda: server.call("GET", f"/v1/volumes/{name}").json()["state"] == "ready")
    assert np.array_equal(stored_voxels(server, name), two_chunks.voxels)


def test_after_a_break_only_missing_chunks_are_asked_for(
    server: RunningServer, two_chunks: Volume
) -> None:
    name = announce(server, two_chunks).json()["volume"]
    send(server, name, 1, chunks_of(two_chunks)[1])
    described = server.call("GET", f"/v1/volumes/{name}").json()
    assert described["state"] == "uploading"
    assert described["missing"] == [0]


def test_a_chunk_damaged_on_its_way_is_refused_and_can_be_sent_again(
    server: RunningServer, two_chunks: Volume
) -> None:
    chunks = chunks_of(two_chunks)
    name = announce(server, two_chunks).json()["volume"]
    damaged = b"\x55" + chunks[0][1:]
    answer = send(server, name, 0, damaged, f"{zlib.crc32(chunks[0]):08x}")
    assert answer.status_code == 422
    assert answer.json()["kind"] == "checksum"
    assert server.call("GET", f"/v1/volumes/{name}").json()["missing"] == [0, 1]
    for index, chunk in enumerate(chunks):
        assert send(server, name, index, chunk).status_code == 200
    assert np.array_equal(stored_voxels(server, name), two_chunks.voxels)


def test_a_chunk_sent_twice_changes_nothing(server: RunningServer, two_chunks: Volume) -> None:
    chunks = chunks_of(two_chunks)
    name = announce(server, two_chunks).json()["volume"]
    for index, chunk in enumerate(chunks):
        send(server, name, index, chunk)
    assert send(server, name, 0, bytes(CHUNK)).status_code == 200
    assert np.array_equal(stored_voxels(server, name), two_chunks.voxels)


def test_chunks_of_a_wrong_size_or_number_are_refused(
    server: RunningServer, two_chunks: Volume
) -> None:
    chunks = chunks_of(two_chunks)
    name = announce(server, two_chunks).json()["volume"]
    assert send(server, name, 0, chunks[0] + b"1").status_code == 413
    assert send(server, name, 0, chunks[0][:-1]).status_code == 422
    assert send(server, name, 0, b"").status_code == 422
    assert send(server, name, 2, chunks[0]).status_code == 404
    assert send(server, name, -1, chunks[0]).status_code == 422
    assert send(server, name, 0, chunks[0], "not-hexa").status_code == 422
    assert server.call("GET", f"/v1/volumes/{name}").json()["missing"] == [0, 1]


def test_a_request_before_the_last_chunk_is_refused(server: RunningServer, volume: Volume) -> None:
    name = announce(server, volume).json()["volume"]
    segments = {"segments": [{"segment": "a", "prompts": {"text": "liver"}}]}
    answer = server.call("POST", f"/v1/volumes/{name}/requests", json=segments)
    assert answer.status_code == 409
    assert "not been sent completely" in answer.json()["error"]


@pytest.mark.parametrize("voxel_type", VOXEL_TYPES)
def test_every_type_of_voxels_gives_the_mask_it_gives_here(
    server: RunningServer, network: Any, voxel_type: str
) -> None:
    info = np.iinfo(voxel_type) if voxel_type.startswith(("i", "u")) else np.finfo("float32")
    low, high = max(-1000, int(max(info.min, -1e9))), min(1000, int(min(info.max, 1e9)))
    voxels = np.random.default_rng(1).integers(low, high, (10, 33, 34)).astype(voxel_type)
    volume = Volume(voxels, np.diag([1.0, 1.0, 2.0, 1.0]))
    prompts = prompts_of_every_kind(volume)["text"]
    session = server.session(volume)
    assert np.array_equal(one_mask(session, prompts), Session(network, volume).mask(prompts))


@pytest.mark.parametrize(
    "voxels",
    [
        pytest.param(small_volume().voxels.astype(">i2"), id="big-endian"),
        pytest.param(np.asfortranarray(small_volume().voxels), id="Fortran order"),
        pytest.param(small_volume().voxels[:, ::-1, ::-1], id="flipped view"),
        pytest.param((small_volume().voxels / 8).astype(np.float16), id="float16"),
    ],
)
def test_arrays_that_lie_otherwise_in_memory_are_sent_as_they_are_meant(
    server: RunningServer, network: Any, voxels: np.ndarray
) -> None:
    volume = Volume(voxels, small_volume().ijk_to_ras)
    native = voxels.astype("float32" if voxels.dtype == np.float16 else "int16", order="C")
    prompts = prompts_of_every_kind(volume)["point"]
    expected = Session(network, Volume(native, volume.ijk_to_ras)).mask(prompts)
    assert np.array_equal(one_mask(server.session(volume), prompts), expected)


def test_the_panel_stays_alive_during_an_upload(server: RunningServer) -> None:
    volume = small_volume(shape=(40, 256, 256))
    session = server.session(volume, chunk_bytes=CHUNK)
    fractions = list(session.upload())
    assert fractions == sorted(fractions)
    assert len(fractions) > 1
    assert fractions[-1] == 1.0
    assert session.uploaded


def test_an_upload_goes_on_after_the_network_was_away(
    server: RunningServer, two_chunks: Volume, network: Any
) -> None:
    chance = random.Random(0)  # noqa: S311

    class Unreliable(Connection):
        def bytes(self, method: str, path: str, **options: Any) -> bytes:
            if chance.random() < 0.25:
                raise ServerGoneError("The cable is out.")
            answer = super().bytes(method, path, **options)
            if chance.random() < 0.25:
                raise ServerGoneError("The cable went out while the answer was on its way.")
            return answer

    connection = Unreliable(server.url, TOKEN)
    session = RemoteSession(connection, two_chunks, chunk_bytes=CHUNK)
    prompts = prompts_of_every_kind(two_chunks)["all"]
    session.request({"a": prompts})
    masks = []
    for _ in range(1000):
        try:
            masks += [update.mask for update in session.poll(0.01) if update.stage.value == "final"]
        except ServerGoneError:
            continue
        if not session.waiting_for:
            break
    assert len(masks) == 1
    assert np.array_equal(masks[0].whole(), Session(network, two_chunks).mask(prompts))
    connection.close()


def test_what_is_no_volume_is_refused_before_it_is_sent(
    server: RunningServer, volume: Volume
) -> None:
    singular = np.diag([1.0, 1.0, 0.0, 1.0]).tolist()
    for change, status in (
        ({"shape_kji": [20, 40]}, 422),
        ({"shape_kji": [20, 40, 0]}, 422),
        ({"shape_kji": [20, 40, 2.5]}, 422),
        ({"voxel_type": "complex64"}, 422),
        ({"voxel_type": "object"}, 422),
        ({"ijk_to_ras": singular}, 422),
        ({"ijk_to_ras": [[1.0] * 4] * 3}, 422),
        ({"chunk_bytes": 1}, 422),
        ({"chunk_bytes": 2**40}, 422),
        ({"model": "unknown"}, 404),
        ({"path": "/etc/passwd"}, 422),
    ):
        answer = announce(server, volume, **change)
        assert answer.status_code == status, change
        assert len(answer.json()["error"]) > 10


def test_voxels_that_cannot_be_segmented_fail_with_the_sentence_of_the_core(
    server: RunningServer,
) -> None:
    flat = Volume(np.full((10, 34, 34), 7, dtype=np.int16), np.eye(4))
    session = server.session(flat)
    prompts = prompts_of_every_kind(flat)["text"]
    for _ in range(2):  # The second time the server knows already.
        updates = list(session.segment({"a": prompts}))
        assert isinstance(updates[-1].error, VolumeError)
        assert "All voxels have the same value" in str(updates[-1].error)


def test_a_single_slice_fails_as_it_does_here(server: RunningServer) -> None:
    slice_ = small_volume(shape=(1, 40, 40))
    updates = list(server.session(slice_).segment({"a": prompts_of_every_kind(slice_)["text"]}))
    assert isinstance(updates[-1].error, VolumeError)


def test_what_is_odd_about_the_voxels_is_said_once(server: RunningServer) -> None:
    voxels = np.random.default_rng(0).integers(0, 255, (10, 34, 34)).astype(np.int16)
    volume = Volume(voxels, np.eye(4))
    session = server.session(volume)
    said = []
    for _ in range(2):
        updates = session.segment({"a": prompts_of_every_kind(volume)["text"]})
        said += [update.message for update in updates if update.message is not None]
    assert len(said) == 1
    assert "like a picture or a label map" in said[0]
