"""Where a server listens, and whether it is safe to listen there."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from segvol_core.errors import SegVolError
from segvol_core.loopback import is_loopback


@dataclass(frozen=True)
class Address:
    """Where to listen.

    Attributes
    ----------
    host, port
        Port 0 is any free one.
    tls_cert, tls_key
        Files in PEM format, both or neither.
    """

    host: str
    port: int
    tls_cert: Path | None = None
    tls_key: Path | None = None

    def url_of(self, port: int) -> str:
        """URL of the server when it listens on a port."""
        scheme = "http" if self.tls_cert is None else "https"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{port}"


def check_address(address: Address, *, own_token: bool, insecure: bool) -> None:
    """Make sure that nobody else can read what goes to and from the server.

    Parameters
    ----------
    own_token
        Whether the token was made for this one start, so that nobody else can have it yet.
    insecure
        Whether the user wants to do without.

    Raises
    ------
    SegVolError
        If the server would listen to other computers without TLS and a token of the user's.
    """
    if (address.tls_cert is None) != (address.tls_key is None):
        raise SegVolError("TLS needs both --tls-cert and --tls-key.")
    for path in filter(None, (address.tls_cert, address.tls_key)):
        if not path.is_file():
            raise SegVolError(f"There is no file {path}.")
    if insecure or is_loopback(address.host):
        return
    if address.tls_cert is None or own_token:
        raise SegVolError(
            f"{address.host} can be reached from other computers: give --tls-cert, --tls-key and "
            "--token-file, so that nobody else can read the patients' images or use the server; "
            "or --insecure if the network itself is protected."
        )
