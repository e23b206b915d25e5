"""HTTP to an inference process: every call ends within a set time, with an answer or a sentence.

Only `requests` (and its urllib3) is needed, so that Slicer's own Python can import this module.
"""

from __future__ import annotations

import json
import secrets
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from segvol_core import __version__
from segvol_core.errors import OrganError, PromptError, SegVolError, VolumeError, WeightsError
from segvol_core.loopback import is_loopback
from segvol_core.quiet_threads import keep_quiet
from segvol_core.wire import CLIENT_HEADER, PROTOCOL, PROTOCOL_HEADER

if TYPE_CHECKING:
    import requests

_READ_BYTES = 256 * 1024


class ServerError(SegVolError):
    """Something went wrong between this computer and the server, or on the server."""


class ServerGoneError(ServerError):
    """The server does not answer: it has ended, it is too busy, or the network is down."""


class AccessError(ServerError):
    """The server does not take this token."""


class ServerVersionError(ServerError):
    """The server is of a version that this client cannot talk to."""


class ServerBusyError(ServerError):
    """The server has too much to do at the moment: try again later."""


class VolumeGoneError(ServerError):
    """The server does not have the volume (any more): it must be sent again."""


class NotThereError(ServerError):
    """The server does not know what was asked for."""


_ERRORS: dict[str, type[SegVolError]] = {
    "prompt": PromptError,
    "volume": VolumeError,
    "organ": OrganError,
    "weights": WeightsError,
    "token": AccessError,
    "version": ServerVersionError,
    "busy": ServerBusyError,
    "conflict": ServerBusyError,
    "checksum": ServerBusyError,
    "dropped": VolumeGoneError,
    "unknown_volume": VolumeGoneError,
    "unknown_request": NotThereError,
    "no_mask": NotThereError,
    "dropped_mask": NotThereError,
}


class Connection:
    """A server, its token, and the name that this client goes by.

    Not for several threads at once.

    Parameters
    ----------
    url
        Such as ``http://127.0.0.1:8765``.
    token
        The server's.
    timeout_seconds
        After which a call gives up, whatever the server does.
    ca_file
        Certificates to trust for https, in PEM format; by default those that `requests` trusts.
    insecure
        Whether to talk to another computer without https: everyone on the way can read the images.

    Raises
    ------
    ServerError
        If the URL is none, or not safe.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        timeout_seconds: float = 5.0,
        ca_file: str | None = None,
        insecure: bool = False,
    ) -> None:
        import requests  # noqa: PLC0415 - see `import_http`

        keep_quiet()
        self.url = _checked_url(url, insecure=insecure)
        self.timeout_seconds = timeout_seconds
        self.client = secrets.token_hex(16)
        self._session = requests.Session()
        # A proxy is for other computers, and a hospital's knows nothing of this one.
        self._session.trust_env = not _is_this_computer(self.url)
        self._session.auth = _Token(token)
        if ca_file is not None:
            self._session.verify = ca_file
        self._session.headers.update(
            {
                CLIENT_HEADER: self.client,
                PROTOCOL_HEADER: str(PROTOCOL),
                "Accept-Encoding": "identity",
                "User-Agent": f"segvol/{__version__}",
            }
        )

    def health(self) -> dict[str, Any]:
        """Ask the server whether it is alive: its `version`, `protocol` and `device`."""
        answer: dict[str, Any] = self.json("GET", "health")
        return answer

    def models(self) -> list[dict[str, Any]]:
        """List the server's networks: `name`, `window`, `spacing_mm`; the default one first."""
        answer: list[dict[str, Any]] = self.json("GET", "models")
        return answer

    def json(self, method: str, path: str, **options: Any) -> Any:
        """Answer of a route as JSON, None if it has none; see `bytes`."""
        body = self.bytes(method, path, **options)
        try:
            return json.loads(body) if body else None
        except ValueError as error:
            raise ServerError(f"{self.url} answers, but not as a SegVol server does.") from error

    def bytes(self, method: str, path: str, *, wait_seconds: float = 0.0, **options: Any) -> bytes:
        """Answer of a route.

        Parameters
        ----------
        path
            Of the route, without the API's version.
        wait_seconds
            How long the server may take on purpose, on top of the timeout.
        options
            As of `requests.request`: `json`, `data`, `params`, `headers`.

        Raises
        ------
        ServerGoneError
            If there is no answer in time.
        SegVolError
            Of the class that the server names, if the answer is an error.
        """
        import requests  # noqa: PLC0415 - see `import_http`
        import urllib3  # noqa: PLC0415

        seconds = self.timeout_seconds + wait_seconds
        deadline = time.monotonic() + seconds
        try:
            with self._session.request(
                method,
                f"{self.url}/v1/{path}",
                timeout=seconds,
                allow_redirects=False,
                stream=True,
                **options,
            ) as response:
                body = bytearray()
                # What has come, not what was asked for: else a slow server could hold us up.
                while piece := response.raw.read1(_READ_BYTES):
                    body += piece
                    if time.monotonic() > deadline:
                        raise requests.exceptions.ReadTimeout
        except requests.exceptions.SSLError as error:
            if "certificate" not in str(error).lower():
                raise ServerError(
                    f"{self.url} does not speak https as it should: is the server one for http?"
                ) from error
            raise ServerError(
                f"The certificate of {self.url} is not trusted: is the address right, and must a "
                "certificate of your institution be given?"
            ) from error
        except (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError) as error:
            raise ServerGoneError(
                f"The server {self.url} has not answered within {seconds:g} s."
            ) from error
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
            raise ServerGoneError(f"The server {self.url} cannot be reached.") from error
        if response.status_code >= 300:
            raise _error(response.status_code, bytes(body), self.url)
        return bytes(body)

    def close(self) -> None:
        """Close what is open to the server."""
        self._session.close()


def import_http() -> None:
    """Import what talks HTTP: a tenth of a second, which an interface that opens has not got.

    The first connection does so too; this is for doing it earlier, in a thread.
    """
    import requests  # noqa: F401, PLC0415
    import urllib3  # noqa: F401, PLC0415


class _Token:
    """Set here, since `requests` puts what it finds in ~/.netrc in place of a header."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def error_of(kind: str, sentence: str) -> SegVolError:
    """Return the error that a server means by a kind and a sentence."""
    return _ERRORS.get(kind, ServerError)(sentence)


def _error(status: int, body: bytes, url: str) -> SegVolError:
    try:
        answer = json.loads(body)
        return error_of(str(answer["kind"]), str(answer["error"]))
    except (ValueError, TypeError, KeyError):
        return ServerError(f"{url} answers, but not as a SegVol server does (status {status}).")


def _checked_url(url: str, *, insecure: bool) -> str:
    try:
        parts = urlsplit(url.strip())
        valid = parts.scheme in {"http", "https"} and parts.hostname and (parts.port or 1)
    except ValueError:
        valid = False
    if not valid:
        raise ServerError(
            "This is no address of a server: it looks like https://server:8765, or like "
            "http://127.0.0.1:8765 on this computer."
        )
    address = url.strip().rstrip("/")
    if parts.scheme == "http" and not insecure and not _is_this_computer(address):
        raise ServerError(
            "Images of patients go to another computer over https only: give an https address."
        )
    return address


def _is_this_computer(url: str) -> bool:
    return is_loopback(urlsplit(url).hostname or "")
