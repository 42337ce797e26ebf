"""Where a webhook may go: addresses of the public internet alone, checked when they are connected to, not when they are written down.

What a name means may change between a check and a connection (DNS rebinding): so the name is resolved here, each of its addresses is checked, and
the connection is made to a checked address, with the name for the certificate.
"""

import asyncio
import ipaddress
import re
import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

URL_CHARACTERS_MAX: Final = 2_048
ADDRESSES_MAX: Final = 16

_HOST: Final = re.compile(r"[A-Za-z0-9._-]{1,253}|[0-9a-fA-F:.]{2,45}")
_PORT: Final = {"https": 443, "http": 80}
# What Python's is_global lets through and is still no place on the public internet, and IPv6 that carries an IPv4 address in it.
_CLOSED_4: Final = tuple(map(IPv4Network, ("192.0.0.0/24", "192.88.99.0/24", "224.0.0.0/3")))
_OPEN_6: Final = IPv6Network("2000::/3")
_CLOSED_6: Final = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))


class Refused(ValueError):
    """Nothing may be sent there; the message says why, in words for an operator."""


class Target(NamedTuple):
    """A place that was checked: the addresses of `host`, one of which is to be connected to."""

    scheme: str
    host: str
    port: int
    path: str
    addresses: tuple[str, ...]


def check_url(url: str, *, may_be_local: bool) -> SplitResult:
    """The parts of a URL that a webhook may have; what its name means is not looked at.

    Raises:
        Refused: it is no absolute https URL without user, password and fragment, or names an address that is not public. With
            `may_be_local` (tests) http and loopback are let through.
    """
    if len(url) > URL_CHARACTERS_MAX or not url.isascii() or any(not "!" <= character <= "~" for character in url):
        raise Refused(f"A URL has at most {URL_CHARACTERS_MAX} visible ASCII characters.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Refused("This is no URL.") from None
    if parts.scheme != "https" and not (may_be_local and parts.scheme == "http"):
        raise Refused("A webhook's URL begins with https://.")
    if not _HOST.fullmatch(parts.hostname or "") or port == 0:
        raise Refused("The URL names no host.")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise Refused("The URL has no user, password or fragment: what comes is known by its signature.")
    literal = _literal(str(parts.hostname))
    if literal is not None and not is_allowed(literal, may_be_local=may_be_local):
        raise Refused("The URL names an address that is not of the public internet.")
    return parts


async def target_of(url: str, *, may_be_local: bool) -> Target:
    """Resolves and checks where a URL leads, at this moment.

    Raises:
        Refused: the URL may not be used, or one of its addresses is not of the public internet.
        OSError: the name cannot be resolved.
    """
    parts = check_url(url, may_be_local=may_be_local)
    host, port = str(parts.hostname), parts.port or _PORT[parts.scheme]
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = tuple(dict.fromkeys(str(entry[4][0]) for entry in found))[:ADDRESSES_MAX]
    if not addresses:
        raise Refused(f"{host} has no address.")
    for address in addresses:
        literal = _literal(address)
        if literal is None or not is_allowed(literal, may_be_local=may_be_local):
            raise Refused(f"{host} leads to an address that is not of the public internet.")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, port, path, addresses)


def is_allowed(address: IPv4Address | IPv6Address, *, may_be_local: bool) -> bool:
    """Whether it is of the public internet; not private, loopback, link-local, shared (CGNAT), multicast, reserved, or IPv6 with IPv4 in it."""
    if may_be_local and address.is_loopback:
        return True
    if isinstance(address, IPv4Address):
        return address.is_global and not any(address in closed for closed in _CLOSED_4)
    return address.is_global and address in _OPEN_6 and not any(address in closed for closed in _CLOSED_6)


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    """The address that a host is written as; a zone (`%eth0`) makes it none of ours."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return _old_literal(host)


def _old_literal(host: str) -> IPv4Address | None:
    """`127.1`, `0x7f.1` and `2130706433` are addresses too, to whoever connects."""
    try:
        return IPv4Address(socket.inet_aton(host))
    except OSError:
        return None
