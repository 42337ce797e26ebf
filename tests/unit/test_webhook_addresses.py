"""Where a webhook may go: only to the public internet, by whatever spelling."""

import asyncio
import socket
from ipaddress import ip_address
from typing import Any

import pytest

from push.channels.webhooks.address import Refused, check_url, is_allowed, target_of

CLOSED = [
    "0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.8.8.8", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8",
    "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.7", "203.0.113.9", "224.0.0.1", "233.252.0.1", "239.255.255.250",
    "240.0.0.1", "255.255.255.255", "::", "::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1",
    "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "3fff::1", "fc00::1", "fd12::1", "fe80::1", "fec0::1", "ff02::1",
]  # fmt: skip
OPEN = ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "2a00:1450:4001::64"]


@pytest.mark.parametrize("address", CLOSED)
def test_what_is_not_public_is_refused(address: str) -> None:
    assert not is_allowed(ip_address(address), may_be_local=False)
    place = f"[{address}]" if ":" in address else address
    with pytest.raises(Refused, match="public internet"):
        check_url(f"https://{place}/hook", may_be_local=False)


@pytest.mark.parametrize("address", OPEN)
def test_what_is_public_is_let_through(address: str) -> None:
    assert is_allowed(ip_address(address), may_be_local=False)


@pytest.mark.parametrize("host", ["127.1", "0x7f.1", "2130706433", "0177.0.0.1", "0", "localhost%00.com"])
def test_addresses_by_other_spellings_are_refused(host: str) -> None:
    with pytest.raises(Refused):
        check_url(f"https://{host}/", may_be_local=False)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/", "ftp://example.com/", "https:///x", "https://", "//example.com", "example.com", "https://a:b@example.com/",
        "https://user@example.com/", "https://example.com/#x", "https://example.com:0/", "https://example.com:99999/",
        "https://exa mple.com/", "https://example.com/\r\nX: y", "https://exämple.com/", "https://[::1/", "https://e.com/" + "x" * 2048,
    ],
)  # fmt: skip
def test_what_is_no_fit_url_is_refused(url: str) -> None:
    with pytest.raises(Refused):
        check_url(url, may_be_local=False)


def test_fit_urls() -> None:
    assert check_url("https://example.com:8443/hook?a=b", may_be_local=False).port == 8443
    assert check_url("http://127.0.0.1:80/", may_be_local=True).hostname == "127.0.0.1"
    with pytest.raises(Refused):
        check_url("http://10.0.0.1/", may_be_local=True)


async def test_every_address_of_a_name_is_checked_when_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that was public when it was written down may mean another address later, or two."""
    found: list[str] = []

    async def resolved(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolved)
    found[:] = ["93.184.216.34", "2606:4700::1111", "93.184.216.34"]
    target = await target_of("https://Example.com/a?b=c", may_be_local=False)
    assert target == ("https", "example.com", 443, "/a?b=c", ("93.184.216.34", "2606:4700::1111"))
    for bad in ("10.0.0.1", "::ffff:127.0.0.1", "fe80::1%eth0", "169.254.169.254"):
        found[:] = ["93.184.216.34", bad]
        with pytest.raises(Refused, match="public internet"):
            await target_of("https://example.com/", may_be_local=False)
    found[:] = []
    with pytest.raises(Refused, match="no address"):
        await target_of("https://example.com/", may_be_local=False)
