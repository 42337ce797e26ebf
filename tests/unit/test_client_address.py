import pytest

from service.client_address import ClientAddresses, networks

PROXIES = ClientAddresses(networks("10.0.0.0/8, ::1 ,fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.7", None, "192.0.2.7"),
        # Who is no proxy of ours may write what they like.
        ("192.0.2.7", b"198.51.100.1", "192.0.2.7"),
        ("10.0.0.1", b"198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", b"203.0.113.9, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", b"203.0.113.9, 198.51.100.1, 10.9.9.9", "198.51.100.1"),
        ("10.0.0.1", b"10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", b"10.0.0.3, nonsense, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", b"", "10.0.0.1"),
        ("10.0.0.1", b"\xff\xfe, ,,", "10.0.0.1"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", b"198.51.100.1:51234", "198.51.100.1"),
        ("::1", b"[2001:db8:1:2:3:4:5:6]:443", "2001:db8:1:2::/64"),
        ("fd00::9", b"2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("::ffff:10.0.0.1", b"::ffff:198.51.100.1", "198.51.100.1"),
        ("", None, ""),
    ],
)
def test_the_client_is_the_last_that_a_proxy_of_ours_has_written(
    peer: str, forwarded: bytes | None, client: str
) -> None:
    assert PROXIES.client_of(peer, forwarded) == client


def test_only_so_many_hops_are_read() -> None:
    hops = b", ".join([b"198.51.100.1"] + [b"10.0.0.2"] * 100_000)
    assert PROXIES.client_of("10.0.0.1", hops) == "10.0.0.2"


def test_without_proxies_nobody_is_believed() -> None:
    assert ClientAddresses([]).client_of("127.0.0.1", b"198.51.100.1") == "127.0.0.1"
    with pytest.raises(ValueError, match="does not appear to be"):
        networks("10.0.0.0/8, somewhere")


def test_what_is_remembered_is_bounded() -> None:
    addresses = ClientAddresses([])
    for number in range(20_000):
        addresses.client_of(f"10.0.{number // 256}.{number % 256}", None)
    assert len(addresses._seen) <= 8_192
