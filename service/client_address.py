"""Whose request it is, by address: X-Forwarded-For is believed as far as proxies of ours have written it, and no further."""

import ipaddress
from collections.abc import Sequence
from typing import Final, NamedTuple

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

IPV6_PREFIX: Final = 64
"""One subscriber has at least so many addresses of IPv6: they count as one."""
HOPS_MAX: Final = 16
_SEEN_MAX: Final = 8_192
_REMEMBERED_BYTES_MAX: Final = 256


class _Seen(NamedTuple):
    """What counts as one client, and whether it is a proxy of ours."""

    client: str
    is_trusted: bool


def networks(text: str) -> list[Network]:
    """Networks out of "10.0.0.0/8, ::1". Raises ValueError."""
    return [ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip()]


class ClientAddresses:
    """Tells clients apart; remembers what it has looked up."""

    def __init__(self, trusted: Sequence[Network]) -> None:
        self._trusted = trusted
        self._seen: dict[str, _Seen] = {}
        self._clients: dict[tuple[str, bytes], str] = {}

    def is_trusted(self, peer: str) -> bool:
        """Whether the other end of a connection is a proxy of ours."""
        return self._look(peer).is_trusted

    def client_of(self, peer: str, forwarded: bytes | None) -> str:
        """The client behind a connection of `peer` whose requests have this X-Forwarded-For.

        Read from the right: each proxy appends whom it speaks with, so the first entry that is no proxy of ours is the last one
        that a proxy of ours has written. All to the left of it may be invented. What is no address ends the search too.
        """
        seen = self._look(peer)
        if not seen.is_trusted or forwarded is None:
            return seen.client
        client = self._clients.get((peer, forwarded))
        if client is None:
            if len(self._clients) >= _SEEN_MAX:
                self._clients.clear()
            client = self._last_stranger(seen, forwarded)
            if len(forwarded) <= _REMEMBERED_BYTES_MAX:
                self._clients[peer, forwarded] = client
        return client

    def _last_stranger(self, seen: _Seen, forwarded: bytes) -> str:
        for hop in reversed(forwarded.decode("latin-1").rsplit(",", HOPS_MAX)):
            found = self._look(_without_port(hop.strip()))
            if not found.client:
                break
            seen = found
            if not found.is_trusted:
                break
        return seen.client

    def _look(self, address: str) -> _Seen:
        seen = self._seen.get(address)
        if seen is None:
            if len(self._seen) >= _SEEN_MAX:
                self._seen.clear()
            seen = self._seen[address] = self._looked_up(address)
        return seen

    def _looked_up(self, text: str) -> _Seen:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return _Seen("", is_trusted=False)
        if isinstance(address, ipaddress.IPv6Address):
            if address.ipv4_mapped is None:
                network = ipaddress.ip_network((address, IPV6_PREFIX), strict=False)
                return _Seen(str(network), is_trusted=self._is_ours(address))
            address = address.ipv4_mapped
        return _Seen(str(address), is_trusted=self._is_ours(address))

    def _is_ours(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
        return any(address in network for network in self._trusted)


def _without_port(hop: str) -> str:
    """Some proxies write 192.0.2.7:51234 and [2001:db8::7]:51234."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop
