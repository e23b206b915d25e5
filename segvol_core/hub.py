"""One file of a Hugging Face repository: found, and fetched so that nothing is fetched twice.

The transfer is a loop of our own over ``huggingface_hub``'s client, because its
``hf_hub_download`` throws away what an interrupted download had fetched (since version 1.18), and
724 MB over a hospital's line are worth keeping.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi, get_session, hf_hub_url, hf_raise_for_status
from huggingface_hub.errors import (  # type: ignore[attr-defined]
    HfHubHTTPError,
    HTTPError,  # of httpx or httpx2, whichever this version of the client is built on
    OfflineModeIsEnabled,
)
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

from segvol_core.errors import WeightsError
from segvol_core.weights_folder import disk_errors

_BLOCK_BYTES = 1 << 18
_SECONDS_OF_SILENCE = 20.0
_ATTEMPTS = 5
_SECONDS_BETWEEN_ATTEMPTS = 2.0
_SHA256 = re.compile(r"[0-9a-f]{64}")
_BY_HAND = (
    "For a computer without access, fetch the file on another one and run "
    "`segvol download --from FILE`."
)


@dataclass(frozen=True)
class HubFile:
    """A file of one commit, with the size in bytes and the checksum that its content has."""

    url: str
    size: int
    sha256: str


def find_file(
    repository: str, names: Sequence[str], revision: str, endpoint: str | None
) -> HubFile:
    """Ask the hub for the commit behind a revision, and for the first of the names in it.

    Raises
    ------
    WeightsError
        If the hub cannot be reached or refuses, or has none of the files.
    """
    api = HfApi(endpoint=endpoint, library_name="segvol")
    try:
        info = api.model_info(
            repository, revision=revision, files_metadata=True, timeout=_SECONDS_OF_SILENCE
        )
    except (HTTPError, OfflineModeIsEnabled) as error:
        where = f"{api.endpoint}/{repository} (revision {revision})"
        raise WeightsError(_explanation(error, where)) from error
    except (LookupError, TypeError, ValueError) as error:
        raise WeightsError(
            f"What answers at {api.endpoint} is not a Hugging Face hub; perhaps it is a login page "
            f"of the network. {_BY_HAND}"
        ) from error
    files = {sibling.rfilename: sibling for sibling in info.siblings or []}
    name = next((name for name in names if name in files), None)
    if name is None or info.sha is None:
        raise WeightsError(f"{repository} has no {' or '.join(names)} in revision {revision}.")
    content = files[name].lfs
    if content is None or not _SHA256.fullmatch(content.sha256):
        raise WeightsError(f"The hub has no checksum for {name}, so it was not downloaded.")
    url = hf_hub_url(repository, name, revision=info.sha, endpoint=endpoint)
    return HubFile(url, content.size, content.sha256)


def fetch_file(remote: HubFile, partial: Path, report: Callable[[int, int], None]) -> None:
    """Append to a file what it still lacks; its content is for the caller to check.

    Parameters
    ----------
    remote
        What to fetch.
    partial
        File that begins like it, or that does not exist yet. What was fetched before an exception
        stays in it.
    report
        Called with bytes done and bytes in all; an exception from it stops the transfer.

    Raises
    ------
    WeightsError
        If the hub refuses, the connection fails several times, or the file cannot be written.
    """
    problem = f"{remote.url} was cut short."
    for attempt in range(_ATTEMPTS):
        if attempt:
            time.sleep(_SECONDS_BETWEEN_ATTEMPTS)
        try:
            _fetch_rest(remote, partial, report)
        except HTTPError as error:
            problem = _explanation(error, remote.url)
            if _status(error) in range(400, 500):
                break
        if _size(partial) >= remote.size:
            return
    raise WeightsError(
        f"{problem} The {_size(partial) / 1e6:.0f} of {remote.size / 1e6:.0f} MB that were "
        "fetched are kept, and the next download continues there."
    )


def _fetch_rest(remote: HubFile, partial: Path, report: Callable[[int, int], None]) -> None:
    done = _size(partial)
    report(done, remote.size)
    if done >= remote.size:
        return
    headers = {**build_hf_headers(library_name="segvol"), "Accept-Encoding": "identity"}
    if done:
        headers["Range"] = f"bytes={done}-"
    with get_session().stream(
        "GET", remote.url, headers=headers, timeout=_SECONDS_OF_SILENCE
    ) as response:
        hf_raise_for_status(response)
        if "html" in response.headers.get("Content-Type", ""):
            raise WeightsError(
                f"What answers at {remote.url} is a web page instead of the file; perhaps it is a "
                f"login page of the network. {_BY_HAND}"
            )
        # A server that knows no ranges answers 200 and begins at the beginning.
        continued = response.status_code == 206
        done = done if continued else 0
        with disk_errors(partial):
            file = partial.open("ab" if continued else "wb")
        with file:
            for block in response.iter_bytes(_BLOCK_BYTES):
                with disk_errors(partial):
                    file.write(block)
                    file.flush()
                done += len(block)
                report(done, remote.size)
                if done > remote.size:
                    return


def _explanation(error: Exception, where: str) -> str:
    """Say what went wrong, and what the user can do about it."""
    status = _status(error)
    if isinstance(error, OfflineModeIsEnabled):
        return f"HF_HUB_OFFLINE is set, so nothing is downloaded. Unset it. {_BY_HAND}"
    if status in (401, 403):
        return (
            f"{where} is refused to you (status {status}). If a Hugging Face token is stored on "
            "this computer, it may have expired: `hf auth logout` removes it."
        )
    if status == 404:
        return f"There is no {where} (status 404)."
    if status is not None:
        return f"The server of {where} has a problem (status {status}). Try again later."
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return (
            f"The certificate of {where} is not trusted on this computer. If your network inspects "
            "connections, name the file of its certificate in SSL_CERT_FILE."
        )
    reason = str(error) or type(error).__name__
    return f"{where} cannot be reached ({reason}). {_BY_HAND}"


def _status(error: Exception) -> int | None:
    return error.response.status_code if isinstance(error, HfHubHTTPError) else None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
