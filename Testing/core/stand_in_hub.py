"""A Hugging Face hub on 127.0.0.1: the part of its protocol that a download uses, and its faults.

Like the real one it answers ``/api/models/REPO/revision/REV`` with the commit and the files, and
redirects ``/REPO/resolve/COMMIT/FILE`` to where the content lies, which knows ranges.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "BAAI/SegVol"


@dataclass
class StandInHub:
    """What the server has, what is wrong with it, and what it was asked for."""

    files: dict[str, bytes]
    endpoint: str = ""
    revisions: tuple[str, ...] = ("main", COMMIT)
    checksums: bool = True
    # Status of the answer about the repository, and of the answer about the content.
    api_status: int = 200
    content_status: int = 200
    api_page: bytes | None = None
    content_page: bytes | None = None
    # Close the connection after so many bytes of content, so many times.
    cut_after: int | None = None
    cuts: int = 0
    knows_ranges: bool = True
    # Content that is sent instead of what the checksum is of.
    swapped: bytes | None = None
    content_requests: list[str | None] = field(default_factory=list)

    def listing(self) -> dict[str, object]:
        siblings = []
        for name, content in self.files.items():
            sha256 = hashlib.sha256(content).hexdigest()
            lfs = {"sha256": sha256, "size": len(content), "pointerSize": 134}
            sibling = {"rfilename": name, "size": len(content), "blobId": sha256[:40]}
            siblings.append({**sibling, "lfs": lfs} if self.checksums else sibling)
        return {"id": REPOSITORY, "sha": COMMIT, "siblings": siblings}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: StandInHub

    def do_GET(self) -> None:
        path = urlsplit(self.path).path  # a proxy is asked for whole addresses
        if match := re.fullmatch(rf"/api/models/{REPOSITORY}/revision/(.+)", path):
            self._answer_about_repository(match[1])
        elif match := re.fullmatch(rf"/{REPOSITORY}/resolve/{COMMIT}/(.+)", path):
            self._send(302, b"", {"Location": f"/content/{match[1]}", "X-Repo-Commit": COMMIT})
        elif path.startswith("/content/"):
            self._send_content(self.hub.files[path.removeprefix("/content/")])
        else:
            self._send(404, b"")

    def _answer_about_repository(self, revision: str) -> None:
        hub = self.hub
        if hub.api_page is not None:
            self._send(200, hub.api_page, {"Content-Type": "text/html"})
        elif hub.api_status != 200:
            self._send(hub.api_status, b"{}")
        elif revision not in hub.revisions:
            self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        else:
            self._send(200, json.dumps(hub.listing()).encode())

    def _send_content(self, content: bytes) -> None:
        hub = self.hub
        asked = self.headers.get("Range")
        hub.content_requests.append(asked)
        content = content if hub.swapped is None else hub.swapped
        if hub.content_page is not None:
            self._send(200, hub.content_page, {"Content-Type": "text/html; charset=utf-8"})
        elif hub.content_status != 200:
            self._send(hub.content_status, b"")
        elif asked and hub.knows_ranges:
            first = int(asked.removeprefix("bytes=").removesuffix("-"))
            whole = f"bytes {first}-{len(content) - 1}/{len(content)}"
            self._send(206, content[first:], {"Content-Range": whole}, cuttable=True)
        else:
            self._send(200, content, cuttable=True)

    def _send(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str] | None = None,
        *,
        cuttable: bool = False,
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if cuttable and self.hub.cut_after is not None and self.hub.cuts > 0:
            self.hub.cuts -= 1
            self.wfile.write(body[: self.hub.cut_after])
            self.close_connection = True
        else:
            self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def running_hub(files: dict[str, bytes]) -> Iterator[StandInHub]:
    hub = StandInHub(files)
    handler = type("Handler", (_Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        hub.endpoint = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
