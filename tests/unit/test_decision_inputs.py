"""The clock, the basket and the damaged states that a decision may meet."""

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from bandits import tastes
from schema.decision import Context
from service.decision import inputs, pipeline
from tests import deciding
from tests.deciding import NOW, ask, catalogue, offer, person, shopper

TOKYO = timezone(timedelta(hours=9))


@pytest.mark.parametrize(
    ("zone", "told", "hour"),
    [
        (None, None, -1),
        ("No/Where", None, -1),
        ("America/New_York", None, 4),
        (None, datetime(2026, 3, 3, 7, 59), 31),
        ("America/New_York", datetime(2026, 3, 3, 7, 59), 31),
        ("America/New_York", datetime(2026, 3, 2, 18, 30, tzinfo=TOKYO), 18),
        ("America/New_York", datetime(2026, 3, 2, 9, 30, tzinfo=UTC), 4),
        (None, datetime(2026, 3, 2, 9, 30, tzinfo=UTC), 9),
        (None, datetime(9999, 12, 31, 23, 59), 119),
        ("Asia/Tokyo", datetime(1, 1, 1, tzinfo=UTC), 18),
    ],
)
def test_the_hour_of_the_person_s_clock(zone: str | None, told: datetime | None, hour: int) -> None:
    assert inputs.local_hour_of(zone, Context(local_time=told), NOW) == hour


def test_of_a_basket_only_tags_that_offers_carry_are_kept() -> None:
    shop = catalogue(offer("a", ["milk", "bread"]))
    shop.tag_id_by_name["elsewhere"] = 77
    context = Context(basket_tags=[" Bread", "bread", "elsewhere", "unheard of"])
    assert inputs.basket_tag_ids(shop, context) == [2]
    assert inputs.kept(context).basket_tags == []


class Nowhere:
    async def copy_to_table(self, _table: str, **_: object) -> None: ...


def poisoned() -> bytes:
    state = tastes.unpack(shopper(3, 1))
    state.entries["bought"][0] = np.nan
    return state.pack()


@pytest.mark.parametrize("damaged", [b"\0", b"\x09" * 40, shopper(3, 1)[:-1], poisoned()])
async def test_a_damaged_state_counts_as_none(damaged: bytes) -> None:
    shop = catalogue(offer("a", ["milk"]), offer("b", ["bread"]))
    model = deciding.model()
    asked = [(ask(), person(tastes=damaged)), (ask(), person())]
    harmed, stranger = await pipeline.decide(Nowhere(), asked, shop, model, NOW)
    assert harmed.draw is not None
    assert stranger.draw is not None
    assert np.array_equal(harmed.draw.pmf, stranger.draw.pmf)
    assert harmed.offer_indices
