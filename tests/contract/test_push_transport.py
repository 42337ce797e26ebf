"""What the transport says of a request, against what the server saw of it: one POST each, never two."""

import asyncio
import errno
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pycurl
import pytest

from push.channel import NotProcessed, Unknown
from push.fcm.answer import ANSWER_BYTES_MAX
from push.fcm.transport import Reply, Transport, is_refused_stream
from push.loopback_certificate import write_certificate
from tests.contract.h2_server import H2Server
from tests.integration.webhook_receiver import receiving

HEADERS = ("Content-Type: application/json", "Expect:")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
async def server(certificate: tuple[Path, Path]) -> AsyncIterator[H2Server]:
    async with H2Server(*certificate) as server:
        yield server


@pytest.fixture
async def transport(server: H2Server, certificate: tuple[Path, Path]) -> AsyncIterator[Transport]:
    transport = Transport(f"https://127.0.0.1:{server.port}/send", ca_file=certificate[0], deadline_s=1.0)
    await transport.open()
    yield transport
    await transport.close()


async def test_one_connection_carries_many_streams(server: H2Server, certificate: tuple[Path, Path]) -> None:
    transport = Transport(f"https://127.0.0.1:{server.port}/send", ca_file=certificate[0])
    await transport.open()
    replies = await asyncio.gather(*(transport.post(b"%d" % i, HEADERS) for i in range(300)))
    assert all(isinstance(reply, Reply) and reply.status == 200 for reply in replies)
    assert sorted(server.seen.bodies) == sorted(b"%d" % i for i in range(300))
    assert server.seen.connections <= 6
    assert server.seen.streams_at_once > 10
    await transport.close()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"refuse", NotProcessed),
        (b"goaway", NotProcessed),
        (b"reset-stream", Unknown),
        (b"abort", Unknown),
        (b"close", Unknown),
        (b"hang", Unknown),
    ],
)
@pytest.mark.parametrize("is_reused", [False, True])
async def test_failures_are_told_apart_and_never_posted_twice(
    server: H2Server, transport: Transport, body: bytes, expected: type, is_reused: bool
) -> None:
    if is_reused:
        await transport.post(b"warm", HEADERS)
    assert isinstance(await transport.post(body, HEADERS), expected)
    await asyncio.sleep(0.05)
    assert server.seen.bodies.count(body) == 1
    # libcurl may keep a broken connection for one more request, which then counts as unknown though it never left.
    after = [await transport.post(b"after-%d" % i, HEADERS) for i in range(2)]
    assert isinstance(after[1], Reply)
    assert sum(isinstance(outcome, Reply) for outcome in after) == sum(b"after" in seen for seen in server.seen.bodies)


async def test_a_dying_connection_leaves_its_streams_unknown(server: H2Server, transport: Transport) -> None:
    await transport.post(b"warm", HEADERS)
    bodies = [b"hang-%d" % i for i in range(20)]
    waiting = [asyncio.create_task(transport.post(body, HEADERS)) for body in bodies]
    await server.wait_for(b"hang", 20)
    await transport.post(b"abort", HEADERS)
    assert {type(outcome) for outcome in await asyncio.gather(*waiting)} == {Unknown}
    assert sorted(server.seen.bodies) == sorted([b"warm", b"abort", *bodies])


@pytest.mark.parametrize("how", ["close", "abort", "fin", "rst", "garbage", "error", "goaway"])
@pytest.mark.parametrize("is_reused", [False, True])
async def test_however_a_connection_dies_what_it_had_taken_on_is_unknown(
    server: H2Server, transport: Transport, how: str, is_reused: bool
) -> None:
    if is_reused:
        await transport.post(b"warm", HEADERS)
    waiting = [asyncio.create_task(transport.post(b"hang-%d" % i, HEADERS)) for i in range(5)]
    await server.wait_for(b"hang", 5)
    outcomes = [await transport.post(f"leave-{how}".encode(), HEADERS), *await asyncio.gather(*waiting)]
    assert {type(outcome) for outcome in outcomes} == {Unknown}
    assert len(set(server.seen.bodies)) == len(server.seen.bodies), "nothing was posted again"
    # The handles remember nothing of it: what is refused now is known to be.
    assert isinstance(await transport.post(b"warm again", HEADERS), Reply | Unknown)
    assert isinstance(await transport.post(b"warm again", HEADERS), Reply)
    assert isinstance(await transport.post(b"refuse", HEADERS), NotProcessed)


async def test_what_a_leaving_server_never_took_on_is_not_processed(server: H2Server, transport: Transport) -> None:
    await transport.post(b"warm", HEADERS)
    waiting = [asyncio.create_task(transport.post(b"hang-%d" % i, HEADERS)) for i in range(5)]
    await server.wait_for(b"hang", 5)
    outcomes = [await transport.post(b"leave-low", HEADERS), *await asyncio.gather(*waiting)]
    assert {type(outcome) for outcome in outcomes} == {NotProcessed}


def test_a_bare_complaint_of_the_rewind_beside_an_error_of_the_system_is_no_refusal() -> None:
    bare = (pycurl.E_SEND_FAIL_REWIND, "necessary data rewind was not possible")
    assert is_refused_stream(*bare, 0)
    assert not is_refused_stream(*bare, errno.ECONNRESET)
    assert not is_refused_stream(bare[0], "OpenSSL SSL_read: unexpected eof", 0)


async def test_an_answer_without_an_end_is_broken_off_and_unknown(
    server: H2Server, certificate: tuple[Path, Path]
) -> None:
    """Its stream alone, after one POST; those beside it on the connection and after it are answered."""
    transport = Transport(f"https://127.0.0.1:{server.port}/send", ca_file=certificate[0])
    await transport.open()
    bodies = [b"big-%d" % size for size in (ANSWER_BYTES_MAX, ANSWER_BYTES_MAX + 1, 1 << 30)]
    most, *more, beside = await transport.post_all([*bodies, b"beside"], HEADERS)
    assert isinstance(most, Reply)
    assert most.body == b" " * ANSWER_BYTES_MAX
    assert more == [Unknown("its answer is longer than 65536 bytes")] * 2
    assert isinstance(beside, Reply)
    assert isinstance(await transport.post(b"after", HEADERS), Reply)
    assert sorted(server.seen.bodies) == sorted([*bodies, b"beside", b"after"])
    assert server.seen.connections <= 2
    assert server.seen.told_bytes < 1 << 26, "nobody told the server to stop"
    await transport.close()


async def test_an_answer_without_an_end_over_http1_is_unknown_too() -> None:
    async with receiving() as receiver:
        transport = Transport(f"{receiver.url}/big")
        await transport.open()
        assert await transport.post(b"{}", HEADERS) == Unknown("its answer is longer than 65536 bytes")
        await transport.close()
    assert [came.path for came in receiver.came] == ["/big"]


async def test_nobody_listening_is_not_processed(certificate: tuple[Path, Path]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    transport = Transport(f"https://127.0.0.1:{port}/send", ca_file=certificate[0])
    await transport.open()
    assert isinstance(await transport.post(b"x", HEADERS), NotProcessed)
    await transport.close()


async def test_a_server_that_never_shakes_hands_is_not_processed(certificate: tuple[Path, Path]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        transport = Transport(f"https://127.0.0.1:{mute.getsockname()[1]}/send", ca_file=certificate[0], deadline_s=0.2)
        await transport.open()
        assert isinstance(await transport.post(b"x", HEADERS), NotProcessed)
        await transport.close()


async def test_an_untrusted_certificate_is_not_processed(server: H2Server, tmp_path: Path) -> None:
    other, _ = write_certificate(tmp_path)
    transport = Transport(f"https://127.0.0.1:{server.port}/send", ca_file=other)
    await transport.open()
    assert isinstance(await transport.post(b"x", HEADERS), NotProcessed)
    await transport.close()
    assert server.seen.bodies == []


async def test_a_place_in_flight_is_given_back_after_cancelling(
    server: H2Server, certificate: tuple[Path, Path]
) -> None:
    transport = Transport(f"https://127.0.0.1:{server.port}/send", ca_file=certificate[0], in_flight_max=1)
    await transport.open()
    hanging = asyncio.create_task(transport.post(b"hang", HEADERS))
    await server.wait_for(b"hang")
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    assert isinstance(await transport.post(b"next", HEADERS), Reply)
    await transport.close()
    assert isinstance(await transport.post(b"late", HEADERS), NotProcessed)
