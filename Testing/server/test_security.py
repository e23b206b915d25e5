"""No token, no answer; what is wrong or too much is refused; nothing tells on a patient."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import requests
import trustme
from running_server import CLIENT, TOKEN, RunningServer, one_mask, running_server
from small_network import prompts_of_every_kind, small_volume

from segvol_core.client import (
    AccessError,
    Connection,
    RemoteSession,
    ServerError,
    ServerVersionError,
)
from segvol_core.errors import SegVolError
from segvol_core.loopback import is_loopback
from segvol_core.model.segvol import SegVol
from segvol_core.server.address import Address, check_address
from segvol_core.server.authentication import is_authorized, new_token, read_token
from segvol_core.session import Session
from segvol_core.volume import Volume
from segvol_core.wire import CHECKSUM_HEADER, PROTOCOL_HEADER

ROUTES = [
    ("GET", "/v1/health"),
    ("GET", "/v1/models"),
    ("POST", "/v1/volumes"),
    ("GET", "/v1/volumes/x"),
    ("PUT", "/v1/volumes/x/chunks/0"),
    ("DELETE", "/v1/volumes/x"),
    ("POST", "/v1/volumes/x/requests"),
    ("GET", "/v1/requests"),
    ("GET", "/v1/requests/x"),
    ("GET", "/v1/requests/x/mask"),
    ("DELETE", "/v1/requests/x"),
    ("GET", "/openapi.json"),
    ("GET", "/docs"),
    ("GET", "/"),
    ("GET", "/no/such/route"),
]


def test_the_list_of_routes_is_complete(server: RunningServer) -> None:
    described = server.call("GET", "/openapi.json").json()["paths"]
    ours = {(method, path.replace("/x", "/{}").replace("/0", "/{}")) for method, path in ROUTES}
    for path, methods in described.items():
        parts = ["{}" if part.startswith("{") else part for part in path.split("/")]
        for method in methods:
            assert (method.upper(), "/".join(parts)) in ours


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize(
    "header", [None, "Bearer wrong", "Bearer ", TOKEN, f"Basic {TOKEN}", "Bearer \xe9"]
)
def test_every_route_needs_the_token(
    server: RunningServer, method: str, path: str, header: str | None
) -> None:
    headers = {} if header is None else {"Authorization": header.encode("latin-1")}
    answer = requests.request(method, server.url + path, headers=headers, data=b"x", timeout=60)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.json()["kind"] == "token"


def test_the_token_is_compared_whole() -> None:
    assert is_authorized(b"Bearer " + TOKEN.encode(), TOKEN)
    assert is_authorized(b"bearer " + TOKEN.encode(), TOKEN)
    for wrong in (TOKEN[:-1], TOKEN + "x", TOKEN.upper(), ""):
        assert not is_authorized(b"Bearer " + wrong.encode(), TOKEN)
    assert not is_authorized(None, TOKEN)


def test_a_wrong_token_is_said_to_the_user(server: RunningServer) -> None:
    with pytest.raises(AccessError, match="needs its token, and this is not it"):
        Connection(server.url, "wrong").health()
    with pytest.raises(AccessError, match="needs its token, and none was given"):
        Connection(server.url, "").health()


def test_an_address_with_https_of_a_server_with_http_is_not_blamed_on_a_certificate(
    server: RunningServer,
) -> None:
    with pytest.raises(ServerError, match="does not speak https as it should"):
        Connection(server.url.replace("http:", "https:"), TOKEN).health()


def test_tokens_are_long_and_never_the_same() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert min(map(len, tokens)) >= 40


def test_a_token_is_read_from_a_file_that_only_its_owner_can_read(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    path.chmod(0o600)
    assert read_token(path) == TOKEN
    if os.name == "posix":
        for mode in (0o640, 0o604, 0o644, 0o660):
            path.chmod(mode)
            with pytest.raises(SegVolError, match="Others can read the token"):
                read_token(path)


@pytest.mark.parametrize("text", ["", "short", "two words of a token", "é" * 20, "x" * 600])
def test_a_bad_token_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "token"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    with pytest.raises(SegVolError, match="must hold a token"):
        read_token(path)


def test_a_missing_token_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SegVolError, match="cannot be read"):
        read_token(tmp_path / "none")


def test_a_client_of_another_version_gets_a_sentence(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segvol_core.connection.PROTOCOL", 99)
    with pytest.raises(ServerVersionError, match="Install the same version on both"):
        server.connect().health()
    for wrong in ("99", "x", "", "1.0"):
        answer = server.call("GET", "/v1/health", headers={PROTOCOL_HEADER: wrong})
        assert answer.status_code == 426
        assert answer.json()["kind"] == "version"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "1e7", '"1"', "true"])
def test_what_is_no_position_is_refused(server: RunningServer, volume: Volume, number: str) -> None:
    point = f'{{"points": [{{"ras": [0, 0, {number}]}}]}}'
    body = f'{{"segments": [{{"segment": "a", "prompts": {point}}}]}}'
    answer = server.call(
        "POST",
        f"/v1/volumes/{ready_volume(server, volume)}/requests",
        data=body,
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 422
    assert number.strip('"') not in answer.json()["error"]
    matrix = f"[[1, 0, 0, {number}], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]"
    header = f'{{"shape_kji": [9, 9, 9], "voxel_type": "int16", "ijk_to_ras": {matrix}}}'
    answer = server.call(
        "POST", "/v1/volumes", data=header, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 422


def ready_volume(server: RunningServer, volume: Volume) -> str:
    """A volume of the client of `server.call`."""
    connection = server.connect()
    connection.client = CLIENT
    connection._session.headers["X-SegVol-Client"] = CLIENT
    session = RemoteSession(connection, volume)
    list(session.upload())
    return str(session._upload.name)


@pytest.mark.parametrize(
    "prompts",
    [
        {},
        {"points": []},
        {"points": [{"ras": [0, 0, 0], "positive": False}]},
        {"points": [{"ras": [0, 0]}]},
        {"points": [{"ras": [0, 0, 0], "positive": 1}]},
        {"points": [{"ras": [0, 0, 0]}] * 1001},
        {"points": "all"},
        {"box": [[0, 0, 0]] * 7},
        {"box": [[0, 0]] * 8},
        {"text": ""},
        {"text": "   "},
        {"text": "x" * 201},
        {"text": 5},
        {"text": "\ud800"},
        {"mask": []},
        {"\ud800": 1},
        [],
        None,
    ],
)
def test_malformed_prompts_are_refused(
    server: RunningServer, volume: Volume, prompts: object
) -> None:
    path = f"/v1/volumes/{ready_volume(server, volume)}/requests"
    answer = server.call("POST", path, json={"segments": [{"segment": "a", "prompts": prompts}]})
    assert answer.status_code == 422
    assert answer.json()["error"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"{", 422),
        (b"\xff\xfe", 400),
        (b"[" * 100_000, 400),
        (b'{"segments": ' + b"9" * 10_000 + b"}", 400),
        (b'{"segments": []}', 422),
        (b"null", 422),
    ],
)
def test_bodies_that_are_no_json_are_refused(
    server: RunningServer, volume: Volume, body: bytes, status: int
) -> None:
    path = f"/v1/volumes/{ready_volume(server, volume)}/requests"
    answer = server.call("POST", path, data=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (status, 422, 400)
    assert answer.json()["error"]


def test_bodies_beyond_the_limit_are_refused_with_and_without_a_length(
    server: RunningServer,
) -> None:
    body = b" " * (1024**2 + 1)
    headers = {"Content-Type": "application/json"}
    assert server.call("POST", "/v1/volumes", data=body, headers=headers).status_code == 413
    pieces = (body[start : start + 65536] for start in range(0, len(body), 65536))
    assert server.call("POST", "/v1/volumes", data=pieces, headers=headers).status_code == 413
    chunk = bytes(16 * 1024**2 + 1)
    answer = server.call(
        "PUT", "/v1/volumes/x/chunks/0", data=chunk, headers={CHECKSUM_HEADER: "0" * 8}
    )
    assert answer.status_code == 413


def test_headers_beyond_the_limit_are_refused(server: RunningServer) -> None:
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=60) as connection:
        connection.sendall(b"GET /v1/health HTTP/1.1\r\nHost: x\r\n")
        try:
            for _ in range(100):
                connection.sendall(b"X-Long: " + b"x" * 1000 + b"\r\n")
            received = connection.recv(4096)
        except (BrokenPipeError, ConnectionResetError):
            return
    assert received.startswith(b"HTTP/1.1 4")


@pytest.mark.parametrize(("method", "path"), ROUTES[3:7] + ROUTES[8:11])
def test_unknown_names_are_not_found(server: RunningServer, method: str, path: str) -> None:
    body = {"segments": [{"segment": "a", "prompts": {"text": "liver"}}]}
    headers = {CHECKSUM_HEADER: "0" * 8}
    answer = server.call(method, path, json=None if method == "GET" else body, headers=headers)
    assert answer.status_code == 404
    assert answer.json()["kind"] in ("unknown_volume", "unknown_request")


@pytest.mark.parametrize(("method", "path"), [*ROUTES[2:11]])
def test_a_client_must_say_who_it_is(server: RunningServer, method: str, path: str) -> None:
    for name in ("", "short", "x" * 65, "with space and more"):
        answer = server.call(method, path, headers={"X-SegVol-Client": name})
        assert answer.status_code == 422


def test_files_are_never_opened_by_name(server: RunningServer, volume: Volume) -> None:
    for name in ("../../etc/passwd", "/etc/passwd", "starter", "..%2F..%2Fetc%2Fpasswd"):
        body = {
            "shape_kji": [9, 9, 9],
            "voxel_type": "int16",
            "ijk_to_ras": np.eye(4).tolist(),
            "model": name,
        }
        answer = server.call("POST", "/v1/volumes", json=body)
        assert answer.status_code == 404
        assert answer.json()["error"] == "The server has no such model."


@pytest.mark.parametrize(
    ("host", "tls", "own_token", "insecure", "allowed"),
    [
        ("127.0.0.1", False, True, False, True),
        ("localhost", False, True, False, True),
        ("::1", False, True, False, True),
        ("0.0.0.0", False, False, False, False),  # noqa: S104
        ("::", False, False, False, False),
        ("192.168.1.5", False, False, False, False),
        ("server.hospital.example", False, False, False, False),
        ("192.168.1.5", True, True, False, False),
        ("192.168.1.5", True, False, False, True),
        ("192.168.1.5", False, True, True, True),
    ],
)
def test_other_computers_are_served_with_token_and_tls_or_on_request(
    tmp_path: Path, host: str, tls: bool, own_token: bool, insecure: bool, allowed: bool
) -> None:
    files = [tmp_path / "cert.pem", tmp_path / "key.pem"]
    for file in files:
        file.touch()
    address = Address(host, 0, *files) if tls else Address(host, 0)
    if allowed:
        check_address(address, own_token=own_token, insecure=insecure)
    else:
        with pytest.raises(SegVolError, match="can be reached from other computers"):
            check_address(address, own_token=own_token, insecure=insecure)


def test_names_are_not_taken_for_addresses_of_this_computer() -> None:
    assert not is_loopback("127.0.0.1.example.org")
    assert not is_loopback("")


def test_half_a_certificate_is_refused(tmp_path: Path) -> None:
    cert = tmp_path / "cert.pem"
    cert.write_text("nothing")
    with pytest.raises(SegVolError, match="needs both"):
        check_address(Address("127.0.0.1", 0, cert), own_token=True, insecure=False)
    missing = Address("127.0.0.1", 0, cert, tmp_path / "none")
    with pytest.raises(SegVolError, match="There is no file"):
        check_address(missing, own_token=True, insecure=False)


def test_over_tls_with_a_certificate_of_the_institution(
    tmp_path: Path, network: SegVol, volume: Volume, here: Session
) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    cert, key, trusted = (tmp_path / name for name in ("cert.pem", "key.pem", "ca.pem"))
    certificate.private_key_pem.write_to_path(key)
    for pem in certificate.cert_chain_pems:
        pem.write_to_path(cert, append=True)
    authority.cert_pem.write_to_path(trusted)
    with running_server({"small": network}, Address("127.0.0.1", 0, cert, key)) as running:
        assert running.url.startswith("https://")
        with pytest.raises(ServerError, match=r"certificate of https://.* is not trusted"):
            running.connect().health()
        session_connection = running.connect(ca_file=str(trusted))
        session = RemoteSession(session_connection, volume)
        prompts = prompts_of_every_kind(volume)["box"]
        assert np.array_equal(one_mask(session, prompts), here.mask(prompts))


def test_a_broken_certificate_is_a_sentence(tmp_path: Path, network: SegVol) -> None:
    cert = tmp_path / "cert.pem"
    cert.write_text("nothing")
    with (
        pytest.raises(SegVolError, match="TLS certificate or its key cannot be used"),
        running_server({"small": network}, Address("127.0.0.1", 0, cert, cert)),
    ):
        pass


def test_an_address_in_use_is_a_sentence(server: RunningServer, network: SegVol) -> None:
    port = urlsplit(server.url).port
    assert port is not None
    with (
        pytest.raises(SegVolError, match=f"cannot listen on 127.0.0.1, port {port}"),
        running_server({"small": network}, Address("127.0.0.1", port)),
    ):
        pass


def test_no_answer_repeats_what_was_sent(server: RunningServer, volume: Volume) -> None:
    secret = "Smith^John"  # noqa: S105
    path = f"/v1/volumes/{ready_volume(server, volume)}/requests"
    for body in (
        {"segments": [{"segment": "a", "prompts": {"text": [secret]}}]},
        {"segments": [{"segment": [secret], "prompts": {"text": "liver"}}]},
        {"segments": secret},
        [secret],
    ):
        answer = server.call("POST", path, data=json.dumps(body))
        assert answer.status_code == 422
        assert secret not in answer.text


def test_a_fault_in_a_route_is_a_sentence_and_says_nothing_of_a_patient(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    patient = "".join(["Smith", "^John"])  # The log may show the line that raised.

    def broken(*_: object) -> None:
        raise RuntimeError(patient)

    monkeypatch.setattr(server.engine, "changed_requests", broken)
    answer = server.call("GET", "/v1/requests")
    assert answer.status_code == 500
    assert answer.json() == {
        "error": "A fault of the program; the server's log says where.",
        "kind": "fault",
    }
    assert "RuntimeError" in caplog.text
    assert "Smith" not in caplog.text


def test_log_lines_say_nothing_of_a_volume_or_its_segments(
    server: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    volume = small_volume(5)
    session = server.session(volume)
    list(session.segment({"Smith^John": prompts_of_every_kind(volume)["all"]}))
    list(
        session.segment({"Smith^John": prompts_of_every_kind(small_volume(1, (90, 90, 90)))["box"]})
    )
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("segvol")]
    assert any("prepared a volume" in line for line in ours)
    assert not any("Smith" in line or "aorta" in line or "RAS" in line for line in ours)
