"""Whether an address is this computer itself: what goes there, nobody else can read."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether only this computer itself can reach a host name or address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
