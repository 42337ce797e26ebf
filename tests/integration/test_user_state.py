"""States of people in PostgreSQL: read and written in pieces, all of them."""

from datetime import UTC, datetime

import asyncpg
import pytest

from service.store import user_state
from service.store.user_state import State

NOW = datetime(2026, 3, 2, tzinfo=UTC)
PEOPLE = "insert into users (user_id, external_id, created_at) overriding system value select n, 'p' || n, $1 from generate_series(1, 7) n"


@pytest.mark.parametrize("piece", [1, 3, 6, 7])
async def test_in_pieces_all_are_written_and_read(
    connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    monkeypatch.setattr(user_state, "PIECE_ROWS", piece)
    await connection.execute(PEOPLE, NOW)
    states = {user_id: State(bytes([user_id]), b"r" * user_id, b"") for user_id in range(1, 7)}
    await user_state.put(connection, states, NOW)
    assert await user_state.load(connection, [7, *states]) == states
    changed = {user_id: state._replace(personal=b"own") for user_id, state in states.items()}
    await user_state.put(connection, changed, NOW)
    assert await user_state.load(connection, states.keys()) == changed
    assert await user_state.load(connection, []) == {}
