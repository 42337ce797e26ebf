"""What is read of a request before an application has it: the plain request that is refused unparsed, and whose it is behind proxies."""

import ipaddress
from typing import Any, Final

import httptools
from hypothesis import given
from hypothesis import strategies as st

from service.client_address import HOPS_MAX, ClientAddresses, networks
from service.early_answers import whole
from service.errors import request_id
from service.guards import _media_type_of
from tests.fuzz.material import calmly, spoilt

FIRST: Final = b"POST /v1/decisions HTTP/1.1\r\n"
BODY: Final = b'{"user_id":"ann"}'
PLAIN: Final = b"Host: x\r\nX-Request-Id: a-1\r\nContent-Type: application/json\r\nContent-Length: 17\r\nConnection: keep-alive\r\n\r\n"
NAMES: Final = [
    b"Host", b"Content-Length", b"content-length", b"Content-Length ", b" Content-Length", b"Content-Lengt", b"Transfer-Encoding", b"TE",
    b"Trailer", b"Connection", b"Proxy-Connection", b"Keep-Alive", b"Upgrade", b"HTTP2-Settings", b"Expect", b"X-Request-Id",
    b"x-request-id", b"Authorization", b"X_Y", b"", b"\x80", b"a\0", b"!#$%&'*+.^_`|~",
]  # fmt: skip
VALUES: Final = [
    b"17", b" 17", b"17 ", b"\t17\t", b"+17", b"017", b"0x11", b"17, 17", b"0", b"", b"18446744073709551633", b"chunked", b"identity",
    b"keep-alive", b"Keep-Alive", b"close", b"keep-alive, close", b"upgrade", b"h2c", b"websocket", b"100-continue", b"a-1", b"\xff\x80",
    b"\x01", b"\0", b"\x7f", b"a\rb", b"a\nb", b"a\r\n b", b"a\r\n\tb",
]  # fmt: skip
ENDS: Final = [b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\r\n "]


class Read:
    """What the parser in service says of some bytes, as uvicorn asks it."""

    def __init__(self, data: bytes) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.ended = 0
        self.keeps_alive = False
        self._parser: Any = httptools.HttpRequestParser(self)
        self._parser.feed_data(data)
        self.method = self._parser.get_method()

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.keeps_alive = self._parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.ended += 1

    def all_of(self, name: bytes) -> list[bytes]:
        return [value for one, value in self.headers if one == name]


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    """Some lines, good and odd ones, of which most hold a length."""
    lines = draw(
        st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES), st.sampled_from(ENDS)), max_size=4)
    )
    if draw(st.integers(0, 4)):
        place = draw(st.integers(0, len(lines)))
        lines.insert(place, (b"Content-Length", b"17", b"\r\n"))
    return b"".join(name + b": " + value + end for name, value, end in lines) + b"\r\n"


@calmly
@given(
    heads() | spoilt([PLAIN]) | st.just(PLAIN), st.sampled_from([BODY, BODY, BODY[:-1], BODY + b"\r\n", b"", BODY * 2])
)
def test_what_is_taken_for_a_plain_request_the_parser_takes_for_the_same(head: bytes, body: bytes) -> None:
    data = FIRST + head + body
    taken = whole(data)
    if head == PLAIN and body == BODY:
        assert taken == (b"a-1",)
    if taken is None:
        return
    read = Read(data)
    assert (read.ended, read.method, read.keeps_alive) == (1, b"POST", True)
    assert data.endswith(b"\r\n\r\n" + read.body)
    assert [int(length) for length in read.all_of(b"content-length")] == [len(read.body)]
    assert not read.all_of(b"transfer-encoding")
    assert read.all_of(b"x-request-id") == ([] if taken.request_id is None else [taken.request_id])


@calmly
@given(st.binary(max_size=80))
def test_a_request_has_an_id_that_can_be_sent_back(sent: bytes) -> None:
    made = request_id(sent)
    assert made.isascii()
    assert made.isprintable()
    assert 1 <= len(made) <= 64


@calmly
@given(st.binary(max_size=80))
def test_a_media_type_is_text(sent: bytes) -> None:
    assert ";" not in _media_type_of(sent)


PROXIES: Final = "10.0.0.0/8, fd00::/8, ::1"
PROXY: Final = "10.0.0.1"
_BLANKS: Final = st.sampled_from(["", " ", "\t", "  "])
_STRANGERS: Final = st.ip_addresses(v=4).filter(lambda one: one not in ipaddress.ip_network("10.0.0.0/8")).map(str)
_HOPS: Final = (
    st.ip_addresses().map(str)
    | st.ip_addresses(network="10.0.0.0/8").map(str)
    | st.ip_addresses(network="fd00::/8").map(lambda one: f"[{one}]:443")
    | st.ip_addresses(v=4).map(lambda one: f"{one}:51234")
    | st.sampled_from(
        [
            "",
            "unknown",
            "_hidden",
            "::ffff:10.0.0.3",
            "fe80::1%eth0",
            "[::1",
            "[]",
            "1.2.3",
            "010.0.0.1",
            "1::2::3",
            "\xb2",
        ]
    )
    | st.text(st.characters(max_codepoint=255, exclude_characters=","), max_size=12)
)


@calmly
@given(st.binary(max_size=120) | st.lists(_HOPS, max_size=20).map(lambda hops: ", ".join(hops).encode("latin-1")))
def test_whoever_wrote_it_there_is_one_client(forwarded: bytes) -> None:
    addresses = ClientAddresses(networks(PROXIES))
    client = addresses.client_of(PROXY, forwarded)
    ipaddress.ip_network(client.partition("%")[0] + "/64" if "%" in client else client)
    assert client == addresses.client_of(PROXY, forwarded)  # as it remembers it
    assert addresses.client_of("192.0.2.7", forwarded) == "192.0.2.7"  # no proxy of ours: nothing of it is believed


@calmly
@given(
    st.binary(max_size=60),
    _STRANGERS,
    st.lists(st.ip_addresses(network="10.0.0.0/8").map(str), max_size=HOPS_MAX - 2),
    _BLANKS,
)
def test_what_a_client_has_invented_is_not_believed(
    invented: bytes, stranger: str, ours: list[str], blank: str
) -> None:
    written = f",{blank}".join([stranger, *ours]).encode()
    assert ClientAddresses(networks(PROXIES)).client_of(PROXY, invented + b"," + written) == stranger
