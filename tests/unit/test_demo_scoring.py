"""The demo's judge: what a real basket makes of a push, at the edges of both windows."""

import numpy as np
import pytest

from service.demo import scoring
from service.demo.scoring import Pushes
from tests.unit.demo_world import MILK, SOAP, TEA, seconds, world

NOON = "2017-03-15T12:00:00"


def pushes(at: list[list[str | None]], deals: list[list[int]]) -> Pushes:
    at_s = [[seconds(one) if one else 0 for one in row] for row in at]
    return Pushes(np.array(at_s, np.int64), np.array(deals, np.int64))


@pytest.mark.parametrize(
    ("basket", "opened", "redeemed"),
    [
        ("2017-03-15T11:59:59", False, False),
        ("2017-03-15T12:00:00", False, False),
        ("2017-03-15T12:00:01", True, True),
        ("2017-03-15T18:00:00", True, True),
        ("2017-03-15T18:00:01", False, True),
        ("2017-03-18T12:00:00", False, True),
        ("2017-03-18T12:00:01", False, False),
    ],
)
def test_the_windows_begin_after_the_push_and_hold_their_last_second(basket: str, opened: bool, redeemed: bool) -> None:
    small = world(1, 1, [(0, basket, "milk")])
    scores = scoring.judge(small, pushes([[NOON]], [[MILK]]))
    assert (scores.opened.item(), scores.redeemed.item()) == (opened, redeemed)
    opened_s, redeemed_s = small.ledger(0).answers(seconds(NOON), MILK)
    assert (opened_s, redeemed_s) == (seconds(basket) if opened else None, seconds(basket) if redeemed else None)


def test_only_a_basket_with_the_deal_redeems_and_any_basket_opens() -> None:
    small = world(1, 1, [(0, "2017-03-15T13:00:00", "bread tea"), (0, "2017-03-16T13:00:00", "bread milk")])
    assert not scoring.judge(small, pushes([[NOON]], [[SOAP]])).redeemed.any()
    ledger = small.ledger(0)
    assert ledger.answers(seconds(NOON), SOAP) == (seconds("2017-03-15T13:00:00"), None)
    assert ledger.answers(seconds(NOON), MILK) == (seconds("2017-03-15T13:00:00"), seconds("2017-03-16T13:00:00"))
    assert ledger.answers(seconds(NOON), TEA) == (seconds("2017-03-15T13:00:00"),) * 2


def test_nothing_sent_scores_nothing_and_the_oracle_takes_any_deal() -> None:
    shopping = [(household, "2017-03-15T13:00:00", "tea") for household in range(2)]
    small = world(3, 2, shopping)
    sent = pushes([[NOON, None], [None, None], [NOON, NOON]], [[MILK, 0], [TEA, 0], [TEA, TEA]])
    scores = scoring.judge(small, sent)
    assert scores.sent.tolist() == [[True, False], [False, False], [True, True]]
    assert scores.opened.tolist() == [[True, False], [False, False], [False, False]]
    assert not scores.redeemed.any()
    assert scoring.oracle(small, sent).tolist() == [[True, False], [False, False], [False, False]]
