"""Migrations 0019 to 0025 over what the program before them has learned: sums are made anew by a refit, rhythms stay."""

import shutil
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from bandits import rhythm
from bandits.epoch import UNKNOWN, begin
from bandits.features import FEATURE_SET, LINK, PRIORS
from service.learning.composer import Composer
from service.learning.refit import Refitter
from service.store import epochs, partitions
from service.store.migrate import default_folder, migrate
from service.store.pool import open_pool
from tests.integration import learning_world as world
from tests.integration.learning_world import START, decide

_EPOCH = """
    insert into epochs (number, feature_set, link, begun_at, modes, dispersions, objectives, exposures, answers, matured)
    values (4, $1, $2, $3, $4, '{1,1}', '{}', 1, 0, 1)
"""
_SHOWN = """
    insert into exposures (user_id, decision_id, slot, offer_id, exposed_at, phi, counted_by)
    values (5, $1, 0, 1, $2, $3, 1)
"""


async def test_what_was_shown_is_counted_anew_and_rhythms_stay(empty_database: str, tmp_path: Path) -> None:
    for file in default_folder().glob("*.sql"):
        if file.stem < "0019":
            shutil.copy(file, tmp_path)
    await migrate(empty_database, tmp_path)
    visits = np.zeros(rhythm.HOURS, "<f4")
    visits[9] = 2.0
    at_s = int(START.timestamp())
    came = np.array([at_s, at_s], "<u4").tobytes() + visits.tobytes()
    now = START + timedelta(days=5)
    async with await open_pool(empty_database, 3) as pool:
        async with pool.acquire() as connection:
            modes = begin(PRIORS, LINK).modes.astype("<f8").tobytes()
            await connection.execute(_EPOCH, FEATURE_SET, LINK, START, modes)
            decided = await decide(connection, 5, START, feature_set=None)
            await connection.execute(_SHOWN, decided, START, world.phi_of(5, 1).tobytes())
            await connection.execute("insert into learner_sums values (7, -1, 'old')")
            state = "insert into user_state (user_id, tastes, rhythm, updated_at) values ($1, '', $2, $3)"
            for user_id, packed in ((1, came), (2, b"")):
                await connection.execute(state, user_id, packed, START)
            await migrate(connection, default_folder())
            await world.build(connection)
            kept = await connection.fetchval("select rhythm from user_state where user_id = 1")
            assert await connection.fetchval("select rhythm from user_state where user_id = 2") == b""
            stored = await epochs.latest(connection)
            assert not await partitions.load_sums(connection)
            assert await connection.fetchval("select feature_set from decisions") == 2
        known = rhythm.unpack(kept)
        assert (known.as_of_s, known.newest_trip, known.recent) == (at_s, 0, 0)
        np.testing.assert_array_equal(known.visits, visits)
        assert stored is not None
        assert stored.fitted == UNKNOWN
        # Of an older program: nothing is known of when answers are told.
        assert [one.rhythm.max() for one in stored.epoch.tellings] == [1.0, 1.0]
        assert await Refitter(pool).refit_if_due(now)
        assert await Composer(pool).publish_if_changed(now)
        refitted = await epochs.latest(pool)
        assert refitted is not None
        assert refitted.fitted.exposures == pytest.approx(1.0)
