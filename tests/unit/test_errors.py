import errno

import asyncpg
import msgspec
import pytest
from litestar.exceptions import MethodNotAllowedException, NotFoundException

from schema.base import Incoming
from service import errors
from service.errors import ApiError


class Item(Incoming, frozen=True):
    type: str
    count: int = 0


class Body(Incoming, frozen=True):
    batch: list[Item] = msgspec.field(default_factory=list)
    named: dict[str, int] = msgspec.field(default_factory=dict)


DECODER = msgspec.json.Decoder(Body)


def refused(body: bytes) -> ApiError:
    with pytest.raises(ApiError) as caught:
        errors.decode(body, DECODER)
    assert caught.value.status == 400
    return caught.value


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        (b'{"batch":[{"type":1}]}', "invalid_field", "/batch/0/type"),
        (b'{"batch":[{"type":"a"},{"type":"b","count":"1"}]}', "invalid_field", "/batch/1/count"),
        (b'{"batch":[{}]}', "invalid_field", "/batch/0/type"),
        (b'{"batch":[{"type":"a","x/y~z":1}]}', "unknown_field", "/batch/0/x~1y~0z"),
        (b'{"other":1}', "unknown_field", "/other"),
        (b'{"named":{"a":"b"}}', "invalid_field", "/named/..."),
        (b"[1]", "invalid_field", ""),
    ],
)
def test_a_wrong_field_is_named_by_its_pointer(body: bytes, code: str, pointer: str) -> None:
    error = refused(body)
    assert (error.code, [found.pointer for found in error.errors]) == (code, [pointer])


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b'{"named":{"a":NaN}}', b'{"batch":[{"type":"\xff"}]}', b'{"batch":[{"type":"a\x00"}]}', b"{} {}"],
)
def test_what_is_not_json_is_malformed(body: bytes) -> None:
    assert refused(body).code == "malformed_json"


def test_nesting_without_end_is_malformed() -> None:
    with pytest.raises(ApiError) as caught:
        errors.decode(b"[" * 100_000, msgspec.json.Decoder())
    assert (caught.value.status, caught.value.code) == (400, "malformed_json")


def test_a_text_with_nul_is_named() -> None:
    error = refused(rb'{"batch":[{"type":"a"},{"type":"b\u0000"}]}')
    assert (error.code, error.errors[0].pointer) == ("invalid_field", "/batch/1/type")
    errors.decode(rb'{"batch":[{"type":"a\\u0000"}]}', DECODER)


@pytest.mark.parametrize(
    ("error", "status", "code", "retry_after_s"),
    [
        (NotFoundException(), 404, "not_found", None),
        (MethodNotAllowedException(), 405, "not_found", None),
        (RecursionError(), 400, "malformed_json", None),
        (ConnectionRefusedError(), 503, "unavailable", 1),
        (TimeoutError(), 503, "unavailable", 1),
        (asyncpg.CannotConnectNowError(), 503, "unavailable", 1),
        (asyncpg.TooManyConnectionsError(), 503, "unavailable", 1),
        (asyncpg.DeadlockDetectedError(), 503, "unavailable", 1),
        (asyncpg.ConnectionDoesNotExistError(), 503, "unavailable", 1),
        (asyncpg.InterfaceError("pool is closing"), 503, "unavailable", 1),
        (asyncpg.DiskFullError("no room"), 503, "unavailable", 5),
        (OSError(errno.ENOSPC, "no room"), 503, "unavailable", 5),
        (asyncpg.InterfaceError("another operation is in progress"), 500, "internal", None),
        (asyncpg.UniqueViolationError(), 500, "internal", None),
        (asyncpg.DataError(), 400, "invalid_field", None),
        (asyncpg.CharacterNotInRepertoireError(), 400, "invalid_field", None),
        (KeyError("x"), 500, "internal", None),
    ],
)
def test_every_exception_has_an_answer(error: Exception, status: int, code: str, retry_after_s: int | None) -> None:
    told = errors.translate(error)
    assert (told.status, told.code, told.retry_after_s) == (status, code, retry_after_s)


def scope_with(request_id: bytes) -> dict[str, object]:
    return {"state": {}, "headers": [(b"x-request-id", request_id)]}


def test_a_request_id_is_kept_when_well_formed_and_stays_the_same() -> None:
    assert errors.request_id_of(scope_with(b"abc-1.2_3")) == "abc-1.2_3"
    for bad in (b"", b"a b", b"a\r\nSet-Cookie: x", b"x" * 65, "é".encode()):
        scope = scope_with(bad)
        made = errors.request_id_of(scope)
        assert len(made) == 32
        assert errors.request_id_of(scope) == made
