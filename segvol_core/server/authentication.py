"""The token that every route asks for, and the file it is handed over in."""

from __future__ import annotations

import hmac
import os
import re
import secrets
import stat
from pathlib import Path

from segvol_core.errors import SegVolError

_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{16,512}")
_SCHEME = b"bearer"


def new_token() -> str:
    """A token that nobody can guess."""
    return secrets.token_urlsafe(32)


def read_token(path: Path) -> str:
    """The token in a file that only its owner can read.

    Raises
    ------
    SegVolError
        If the file cannot be read, others can read it, or there is no good token in it.
    """
    try:
        with path.open("rb") as file:
            if os.name == "posix" and os.fstat(file.fileno()).st_mode & (
                stat.S_IRWXG | stat.S_IRWXO
            ):
                raise SegVolError(
                    f"Others can read the token in {path}: make it yours alone (chmod 600)."
                )
            text = file.read(1024).decode("ascii", "replace").strip()
    except OSError as error:
        raise SegVolError(f"The token cannot be read from {path}: {error.strerror}.") from error
    if not _TOKEN.fullmatch(text):
        raise SegVolError(
            f"{path} must hold a token of 16 to 512 letters, digits or . _ ~ + / = - and no more."
        )
    return text


def is_authorized(header: bytes | None, token: str) -> bool:
    """Whether an Authorization header has the token, in a time that says nothing about it."""
    scheme, _, given = (header or b"").partition(b" ")
    correct = hmac.compare_digest(given.strip(), token.encode())
    return correct and scheme.lower() == _SCHEME
