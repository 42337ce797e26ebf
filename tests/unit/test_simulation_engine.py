import numpy as np
import pytest

from bandits import tastes
from bandits.simulation.engine import Engine, Settings
from bandits.simulation.life import Life
from bandits.simulation.worlds import no_value
from bandits.words import SAID
from schema.event import EventType

PERSON = 0


def engine(*, has_personal_layer: bool = True) -> Engine:
    world = no_value.build(0, 0.1)._replace(goal=no_value.build(0, 0.1).goal._replace(attention_price=0.0))
    return Engine(world, Life(world), Settings(0.002, 0.01, 0.2, has_personal_layer))


def decided(one: Engine) -> int:
    """A decision that was sent; gives the offer."""
    at_s = one.world.decides_from_s
    choice = one.decide(0, PERSON, at_s, np.ones(len(one.world.offers.price), np.bool_))
    one.sent(0)
    return choice.drawn


@pytest.mark.parametrize("word", SAID)
def test_a_word_acts_in_the_next_decision_as_in_the_product(word: EventType) -> None:
    one = engine()
    decided(one)
    at_s = one.world.decides_from_s + 60.0
    row = one._z[0]
    before = one._sums[PERSON].sums.copy()
    one.said(0, word, at_s)
    said = SAID[word]
    pull = one._sums[PERSON].at(at_s) - before
    # With nothing known the log-odds are 0: A grows by w/4 z z', b by w (answer - 1/2) z (docs/decisions/0006).
    size = len(row.z)
    assert pull[-size:] == pytest.approx(said.weight * (said.answer - 0.5) * row.z, rel=1e-5)
    assert pull[0] == pytest.approx(said.weight * 0.25 * row.z[0] ** 2, rel=1e-5)


def test_a_word_teaches_tastes_also_where_nothing_personal_was_used() -> None:
    one = engine(has_personal_layer=False)
    drawn = decided(one)
    one.said(0, EventType.THUMBS_DOWN, one.world.decides_from_s + 60.0)
    entries = tastes.view(one.tastes[PERSON].pack()).entries
    assert entries[entries["tag_id"] == drawn]["interest"][0] == pytest.approx(-2.0, abs=1e-4)
    assert not one._sums[PERSON].sums.any()
