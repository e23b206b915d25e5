"""What uv and pip say when they fail, as a sentence that tells what to do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

_MISSING = (
    re.compile(r"No matching distribution found for ([\w.-]+)"),
    re.compile(r"Because ([\w.-]+) was not found in the p"),
    re.compile(r"there (?:is|are) no versions? of ([\w.\[\]-]+)"),
    re.compile(r"([\w.-]+)[^ ]* has no wheels"),
)
_BROKEN = (
    re.compile(r"Wheel '([\w.-]+)' located at .* is invalid"),
    re.compile(r"([\w.-]+?)(?:==\S+)? has an invalid package format"),
    re.compile(r"Failed to (?:read|unzip|extract|install).*?([\w.-]+\.whl)"),
)
_DISK_FULL = re.compile(r"No space left on device|Errno 28|not enough space", re.IGNORECASE)
_CERTIFICATE = re.compile(r"CERTIFICATE_VERIFY_FAILED|invalid peer certificate|UnknownIssuer")
_PROXY_LOGIN = re.compile(r"\b407\b|Proxy Authentication Required", re.IGNORECASE)
_NO_NETWORK = re.compile(
    r"error sending request|dns error|tcp connect error|tunnel error|operation timed out"
    r"|NewConnectionError|ConnectTimeout|ReadTimeout|ProxyError|NameResolutionError"
    r"|MaxRetryError|Max retries exceeded|name resolution|getaddrinfo failed"
    r"|Network is unreachable|Network connectivity is disabled",
    re.IGNORECASE,
)
_UNRESOLVABLE = re.compile(
    r"No solution found|No matching distribution found|ResolutionImpossible"
    r"|conflicting dependencies"
)
_SECRET = re.compile(r"(?<=://)[^/@\s]+@")
_ERROR = re.compile(r"\s*(error|ERROR): (.+)")


def explain(lines: Sequence[str], *, wheels: Path | None) -> str:
    """One sentence or two for what an installer wrote before it gave up.

    Parameters
    ----------
    lines
        Its last lines.
    wheels
        The folder that it installed from, or None if from the internet.
    """
    text = "\n".join(lines)
    if _DISK_FULL.search(text):
        return "The disk became full. Make room, or name a folder on another disk in SEGVOL_HOME."
    if wheels is None and (sentence := _network(text)):
        return sentence
    if name := _first(_BROKEN, text):
        return f"The package file of {name} is damaged" + (
            f"; copy it to {wheels} again." if wheels else "; try again."
        )
    if name := _first(_MISSING, text):
        if wheels is not None:
            return (
                f"{wheels} has no wheel of {name} that fits this computer and this Python. Fetch "
                "it with `pip download` on a computer of the same kind, with the same Python."
            )
        return f"There is no version of {name} for this computer and this Python."
    errors = [match[2] for line in lines if (match := _ERROR.match(line))]
    return f"Installing failed: {errors[-1].rstrip('.')}." if errors else "Installing failed."


def is_unresolvable(lines: Sequence[str]) -> bool:
    """Whether an installer found no versions that go together, before it installed anything."""
    return _UNRESOLVABLE.search("\n".join(lines)) is not None


def without_secrets(line: str) -> str:
    """A line without the user names and passwords of addresses, as of a proxy."""
    return _SECRET.sub("***@", line)


def _network(text: str) -> str | None:
    if _PROXY_LOGIN.search(text):
        return (
            "The proxy asks for a user name and password. Put them into HTTPS_PROXY "
            "(http://USER:PASSWORD@HOST:PORT), or install from a folder of wheels."
        )
    if _CERTIFICATE.search(text):
        return (
            "The certificate of the package index is not trusted; perhaps your network inspects "
            "connections. Ask for its certificate and name its file in SSL_CERT_FILE and PIP_CERT, "
            "or install from a folder of wheels."
        )
    if _NO_NETWORK.search(text):
        return (
            "The package index cannot be reached. Check the internet connection and, behind a "
            "proxy, HTTPS_PROXY; or install from a folder of wheels."
        )
    return None


def _first(patterns: tuple[re.Pattern[str], ...], text: str) -> str | None:
    return next((match[1] for pattern in patterns if (match := pattern.search(text))), None)
