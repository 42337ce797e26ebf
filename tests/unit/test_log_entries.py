from datetime import UTC, datetime
from uuid import UUID

import msgspec

from schema.log import DECODER, ENCODER, LogEntry

ENTRY = LogEntry(
    7,
    UUID(int=2**127 + 1),
    3,
    datetime(2026, 3, 2, 10, 0, 0, 250, tzinfo=UTC),
    10,
    (4, 5),
    9,
    UUID(int=3),
    1,
    UUID(int=0),
)


def test_an_entry_is_read_as_it_was_written() -> None:
    assert DECODER.decode(ENCODER.encode([ENTRY, ENTRY])) == [ENTRY, ENTRY]


def test_a_log_with_ids_in_letters_is_read_too() -> None:
    """As releases before this one wrote it; what they left must be learned after an upgrade."""
    letters = msgspec.msgpack.encode([ENTRY])
    assert str(ENTRY.event_id).encode() in letters
    assert DECODER.decode(letters) == [ENTRY]
    assert len(ENCODER.encode([ENTRY])) == len(letters) - 3 * 20
