"""Many decisions drawn by one call of the kernel are logged bit for bit as if each had been drawn alone."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, get_args
from uuid import UUID

import msgspec
import numpy as np
import pytest

from bandits import personal, tastes
from bandits.kernels.draw_many import NOT_DRAWN
from bandits.personal import UnknownSumsError
from bandits.policies.model import Model
from bandits.taste_map import AXES, COMPANIONS, TasteMap
from bandits.tastes import LOGGED_BYTES_MAX, UnknownStateError
from schema.decision import Channel, Context, Rules
from schema.ids import stable_entropy
from schema.policy import PolicyKind
from service.decision import pipeline, policy, together
from service.decision.ask import Ask
from service.store.decision_people import DecisionPerson
from tests import deciding
from tests.deciding import NOW, answered, ask, catalogue, offer, person, shopper

KINDS: tuple[PolicyKind, ...] = get_args(PolicyKind)
SHOP = catalogue(
    *(offer(f"deal-{n}", [f"tag{n % 5}", f"tag{5 + n % 3}"], price_minor=500, discount_type="amount", discount_minor=20 * n) for n in range(17)),
    offer("for-adults", ["tag1"], min_age=18),
    offer("sensitive", ["tag2"], is_sensitive=True),
    offer("one-shop", ["tag3"], store_ids=["s1"]),
)  # fmt: skip  # a line for each kind of offer


SLOTS = (2, 3, 12)
RULES: dict[tuple[int, int], Rules] = {}  # one object for all who are asked the same, as the product has it


class Kept:
    """A connection that keeps what is logged."""

    def __init__(self) -> None:
        self.data = b""

    async def copy_to_table(self, _table: str, *, source: memoryview, **_: Any) -> None:
        self.data = bytes(source)


def mapped(model: Model) -> Model:
    """With a map of tastes: axes, companions and cycles of every tag."""
    rng = np.random.default_rng(5)
    companions = rng.integers(0, 9, (9, COMPANIONS)).astype(np.int16)
    lifts, cycles_s = rng.uniform(0, 1, (9, COMPANIONS)), rng.uniform(1e5, 1e6, 9)
    axes = rng.normal(size=(9, AXES)).astype(np.float32)
    return model._replace(
        taste_map=TasteMap(0, axes, companions, lifts.astype(np.float32), cycles_s.astype(np.float32))
    )


def of_many_tags() -> bytes:
    return shopper(2, *range(1, 100))


def crowd(kind: PolicyKind) -> list[tuple[Ask, DecisionPerson]]:
    """Strangers and regulars, with and without consent, clock, age, refusals and sums of their own."""
    states = [None, shopper(1, 1), shopper(9, 2, 6, at=NOW - timedelta(days=40)), of_many_tags()]
    sums = [None, answered(0.0), answered(1.0, 0.0, 1.0, at=NOW - timedelta(days=70))]
    zones = [None, "Europe/Berlin", "Asia/Tokyo"]
    rules = msgspec.structs.replace(policy.push_rules(0.05, 1.0, 0.02), kind=kind, exploration=0.3)
    people = [
        person(
            user_id=n,
            tastes=states[n % 4],
            personal=sums[n % 3],
            time_zone=zones[n // 2 % 3],
            has_personalization_consent=n % 7 != 3,
            birth_date=date(1990, 1, 1) if n % 5 == 0 else None,
            vetoed_offer_ids=[101 + n % 17] if n % 6 == 0 else [],
            created_at=NOW - timedelta(days=n),
        )
        for n in range(60)
    ]
    asks = [
        ask(
            channel=Channel.PUSH,
            rules=rules,
            context=Context(store_id="s1") if n % 4 == 1 else Context(),
            candidates=(101,) if n % 19 == 4 else None,
            holdout_share=0.1,
            control_share=0.3,
            campaign_id=UUID(int=7),
            entropy=stable_entropy(kind.encode(), bytes([n])),
        )
        for n in range(60)
    ]
    return list(zip(asks, people, strict=True))


async def logged(asked: Sequence[tuple[Ask, DecisionPerson]], model: Model) -> bytes:
    kept = Kept()
    await pipeline.decide(kept, asked, SHOP, model, NOW)
    return kept.data


@pytest.mark.parametrize("kind", KINDS)
async def test_in_company_a_decision_is_what_it_is_alone(kind: PolicyKind, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(of_many_tags()) > LOGGED_BYTES_MAX
    asked = crowd(kind)
    for model in (
        mapped(deciding.model(tags=9)),
        deciding.model()._replace(personal_variances=np.zeros(0, np.float32)),
    ):
        drawn = together.draw
        left: list[int] = []

        def counting(*given: Any, drawn: Any = drawn, left: list[int] = left) -> Any:
            rest = drawn(*given)
            left.append(len(rest))
            return rest

        with monkeypatch.context() as patched:
            patched.setattr(together, "draw", counting)
            many = await logged(asked, model)
            assert left == [0] * -(-len(asked) // together.TOGETHER_MAX)
            patched.setattr(together, "TOGETHER_MIN", 1_000)
            assert await logged(asked, model) == many
            assert sum(left) > 30


def slates() -> list[tuple[Ask, DecisionPerson]]:
    """In the app: with few and many slots, more than there are offers, at many distances, in the rain, with things in the basket."""
    tags = [f"tag{n}" for n in range(9)]
    asked = []
    for n, (push, who) in enumerate(crowd("thompson")):
        rules = msgspec.structs.replace(policy.in_app_rules(SLOTS[n % 3]), per_tag_max=n % 2)
        context = Context(
            store_id="s1" if n % 4 == 1 else None,
            distance_m=None if n % 5 == 0 else 50.0 * n,
            is_raining=[None, False, True][n % 3],
            basket_tags=[*tags[: n % 4], "of no offer"],
        )
        asked.append(
            (
                msgspec.structs.replace(
                    push, channel=Channel.IN_APP, rules=RULES.setdefault((n % 3, n % 2), rules), context=context
                ),
                who,
            )
        )
    return asked


async def test_slates_and_baskets_too_are_what_they_are_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, model = slates(), mapped(deciding.model(tags=9))
    left = []
    drawn = together.draw

    def counting(*given: Any) -> Any:
        left.append(drawn(*given))
        return left[-1]

    monkeypatch.setattr(together, "draw", counting)
    many = await logged(asked, model)
    assert left == [[]] * -(-len(asked) // together.TOGETHER_MAX)
    monkeypatch.setattr(together, "TOGETHER_MIN", 1_000)
    assert await logged(asked, model) == many
    assert sum(len(rest) for rest in left) > 30


def poisoned() -> bytes:
    state = tastes.unpack(shopper(3, 1))
    state.entries["bought"][0] = np.nan
    return state.pack()


@pytest.mark.parametrize(
    "harm", [{"tastes": b"\0"}, {"tastes": poisoned()}, {"personal": b"\0"}, {"personal": b"\0" * personal.BYTES}]
)
async def test_a_damaged_state_harms_nobody_else(harm: dict[str, Any]) -> None:
    asked = crowd("thompson")[:9]
    whole = await pipeline.decide(Kept(), asked, SHOP, deciding.model(), NOW)
    asked[2] = (asked[2][0], asked[2][1]._replace(**harm))
    harmed = await pipeline.decide(Kept(), asked, SHOP, deciding.model(), NOW)
    for place, (before, now) in enumerate(zip(whole, harmed, strict=True)):
        assert before.draw is not None
        assert now.draw is not None
        assert place == 2 or np.array_equal(before.draw.pmf, now.draw.pmf)


def test_what_cannot_be_read_is_told() -> None:
    good, sums = shopper(1, 1), answered(1.0)
    headers, entries, starts = tastes.end_to_end([b"", good, shopper(1, 2, 3)])
    assert (headers["entries"].tolist(), starts, entries["tag_id"].tolist()) == (
        [0, 1, 2],
        [0, 0, 1, 3],
        [1, 2, 3],
    )
    for bad in (b"\0", good[:-1], b"\x09" + good[1:]):
        with pytest.raises(UnknownStateError):
            tastes.end_to_end([good, bad])
    rows, faded = personal.end_to_end([b"", sums], NOW.timestamp())
    assert not rows[0].any()
    assert np.array_equal(rows[1], np.frombuffer(sums[4:], "<f4"))
    assert faded[1] == pytest.approx(2.0 ** (-(NOW.timestamp() / personal.HALF_LIFE_S) % 1.0 - 1.0))
    for bad in (b"\0", b"\x09" + sums[1:]):
        with pytest.raises(UnknownSumsError):
            personal.end_to_end([sums, bad], NOW.timestamp())
    assert NOT_DRAWN < 0


async def test_who_can_be_given_nothing_limited_asks_for_no_stock() -> None:
    shop = catalogue(offer("plain"), offer("limited", ["tag3"], store_ids=["s1"], redemptions_max=1))
    elsewhere = [
        (ask(context=Context(store_id=store)), person(user_id=n)) for n, store in enumerate(["s2", "s3", None])
    ]
    kept = Kept()  # reads nothing, and knows no transaction
    decided = await pipeline.decide(kept, elsewhere, shop, deciding.model(), NOW)
    assert [one.reserved for one in decided] == [(None,)] * 3
    assert kept.data
