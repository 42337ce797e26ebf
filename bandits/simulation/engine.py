"""The product's engine in one process and in virtual time: the same features, posterior, draw, gate and moments, without a database."""

from collections import deque
from typing import Final, NamedTuple

import numpy as np

from bandits import features, link, personal, personal_variance, send_time, taste_map, tastes
from bandits.delay import WINDOW_S, WINDOWS_S
from bandits.kernels import random
from bandits.kernels.featurize import featurize
from bandits.kernels.tastes import pushed_at
from bandits.personal import LoggedRow, Personal, PersonalScores
from bandits.policies import draw
from bandits.policies.draw import Draw, Offers, Terms
from bandits.policies.model import Model
from bandits.population import Population
from bandits.rhythm import Rhythm
from bandits.simulation.engine_learner import REDEEM, EngineLearner
from bandits.simulation.engine_log import EngineLog
from bandits.simulation.life import Life
from bandits.simulation.people import Flags
from bandits.simulation.player import Choice, Told
from bandits.simulation.week import DAY_S, F32, HOURS, I64, WEEK_S, hour_of_week
from bandits.simulation.world import World
from bandits.tastes import Tastes
from bandits.words import INTEREST_OF, SAID
from schema.event import EventType
from schema.snapshot import HEADS

MAP_EVERY_S: Final = WEEK_S
_SLOPES: Final = [features.NAMES.index(name) for name in personal.SLOPES]
_MOMENTS: Final = 7


class Settings(NamedTuple):
    """What an operator sets: the policy in force. `has_personal_layer` False leaves the personal offsets out, for comparison."""

    floor: float
    gate_floor: float
    exploration: float
    has_personal_layer: bool = True


class Engine:
    """Learns and decides for all people of a world."""

    def __init__(self, world: World, _life: Life, settings: Settings) -> None:
        self.world, self.settings = world, settings
        self.log = EngineLog()
        self.tastes = [Tastes() for _ in range(world.size)]
        self._rhythms = [Rhythm() for _ in range(world.size)]
        self._sums = [Personal() for _ in range(world.size)]
        self._variances: tuple[float, ...] = personal.VARIANCES
        self._map = taste_map.empty()
        self._map_s = -np.inf
        self._population = Population()
        self._learner = EngineLearner()
        self._z: dict[int, LoggedRow] = {}
        self._unripe: list[deque[int]] = [deque() for _ in range(world.size)]
        self.people: list[int] = []
        self._drawn: list[int] = []
        count = len(world.offers.price)
        self._tags = np.arange(count, dtype=np.int16)[:, None].copy()
        self._discounts = (world.offers.discount / world.offers.price).astype(np.float32)
        self._all = np.ones(count, np.bool_)
        self._no_basket = np.zeros(world.people.tastes.shape[1], np.bool_)
        self.model = self._snapshot(world.decides_from_s)

    def bought(self, person: int, things: I64, at_s: float) -> None:
        """A purchase teaches tastes, rhythm and population."""
        hour = hour_of_week(at_s)
        self.tastes[person].bought(things, at_s)
        self._population.bought(things.tolist(), hour, at_s)
        self._rhythms[person].visited(hour, at_s)

    def looked(self, person: int, thing: int, at_s: float) -> None:
        """A view."""
        self.tastes[person].interested([thing], at_s, INTEREST_OF[EventType.VIEW])

    def said(self, decision: int, word: EventType, at_s: float) -> None:
        """A word teaches tastes, and at once the person's own part, where that had part in the decision (service.learning.fold)."""
        person = self.people[decision]
        self.tastes[person].interested([self._drawn[decision]], at_s, INTEREST_OF[word])
        if decision in self._z:
            self._sums[person].said(self._z[decision], at_s, SAID[word].answer, SAID[word].weight)

    def moments(self, begins_s: float) -> I64:
        """Drawn by the rhythms, as at planning."""
        visits = np.stack([rhythm.visits for rhythm in self._rhythms])
        always, same = np.ones((1, HOURS), np.bool_), np.zeros(len(visits), np.int64)
        uniforms = self.world.generator(_MOMENTS, int(begins_s // WEEK_S)).random(self.world.size)
        return send_time.draw(visits, self.model.hour_shares, always, same, uniforms).hours

    def decide(self, decision: int, person: int, at_s: float, mask: Flags) -> Choice:
        """Featurize, score, pmf, draw, gate."""
        phi = self.features(person, at_s)
        own = self._own(person, phi, at_s)
        drawn = draw.draw(self.model, Offers(phi, mask, self._tags), self._terms(person, at_s), self.key(decision), own)
        chosen = int(drawn.chosen[0])
        eta = self._log(person, phi, own, drawn, at_s)
        predicted = float(link.mean(self.model.link, np.array([eta]))[0])
        return Choice(chosen, drawn.pmf, drawn.send_probability, drawn.is_sent, predicted)

    def features(self, person: int, at_s: float) -> F32:
        """Phi (K, d) of all offers."""
        phi = np.empty((len(self._tags), features.DIMS), np.float32)
        known, joined_s = self._map, float(self.world.people.joins_at_s[person])
        state = tastes.view(tastes.for_decision(self.tastes[person].pack(), self._all, joined_s))
        featurize(
            state.header,
            state.entries,
            self._tags,
            self._all,
            self._discounts,
            self.model.tag_shares,
            self.model.recent_shares,
            known.companions,
            known.lifts,
            known.cycles_s,
            self._no_basket,
            at_s,
            WINDOW_S,
            float(hour_of_week(at_s) % 24),
            0.0,
            False,
            phi,
        )
        return phi

    def _own(self, person: int, phi: F32, at_s: float) -> PersonalScores | None:
        if not self.settings.has_personal_layer:
            return None
        self._ripen(person, at_s)
        z = personal.z_of(phi, _SLOPES, taste_map.axes_of(self._map, self._tags), self._all)
        return personal.scores(z, self._sums[person].pack(), self._variances, at_s)

    def _log(self, person: int, phi: F32, own: PersonalScores | None, drawn: Draw, at_s: float) -> float:
        """Logs the decision; gives the predictor of a redemption."""
        chosen = int(drawn.chosen[0])
        offset, eta = float(drawn.personal_offsets[0]), float(drawn.predictions[0, REDEEM, 0])
        number = self.keep(person, phi[chosen], chosen, at_s, offset)
        if own is not None:
            self._z[number] = LoggedRow(own.z[chosen], eta, offset)
        return eta

    def keep(self, person: int, phi: F32, drawn: int, at_s: float, offset: float = 0.0) -> int:
        """Logs what was drawn with its features (d,); gives the number of the decision."""
        self.people.append(person)
        self._drawn.append(drawn)
        return self.log.decided(phi, offset, at_s)

    def price(self, person: int, at_s: float) -> float:
        """Of the person's attention now: every push that was not answered raises it (service.decision)."""
        pushed = float(pushed_at(self.tastes[person].header, at_s))
        return self.world.goal.attention_price * (1.0 + pushed)

    def _terms(self, person: int, at_s: float) -> Terms:
        # As service.decision.policy makes them for a push, or for an offer inside the app.
        exploration = self.settings.exploration * float(np.sqrt(self.model.dispersions[REDEEM]))
        return Terms(
            kind="thompson",
            slots=1,
            floor=self.settings.floor,
            exploration=exploration,
            values=(0.0, 1.0),
            per_tag_max=0,
            is_gated=self.world.is_push,
            gate_floor=self.settings.gate_floor,
            attention_price=self.price(person, at_s),
            can_be_negative=False,
        )

    def key(self, decision: int) -> int:
        """The random bits of a decision."""
        return random.key_from_bytes(self.world.seed.to_bytes(8, "big") + decision.to_bytes(8, "big"))

    def sent(self, decision: int) -> None:
        """An exposure."""
        at_s, person = self.log.sent(decision), self.people[decision]
        self.tastes[person].shown([self._drawn[decision]], at_s, 1.0)
        if self.world.is_push:
            self.tastes[person].pushed(at_s, 1.0)
        if decision in self._z:
            self._unripe[person].append(decision)

    def told(self, news: Told) -> None:
        """An answer: a reward of its head, and a showing that was not in vain."""
        if news.head not in HEADS:
            return
        found = self.log.answer(news.decision, HEADS.index(news.head), news.happened_s, news.told_s)
        if found is None:
            return
        (shown_s, is_first), person = found, self.people[news.decision]
        if is_first:
            self.tastes[person].shown([self._drawn[news.decision]], shown_s, -1.0)
            if self.world.is_push:
                self.tastes[person].pushed(shown_s, -1.0)
        if news.head == HEADS[REDEEM] and news.decision in self._z:
            # What is redeemed counts at once; a showing that had been counted as unanswered is so no more.
            if news.decision in self._unripe[person]:
                self._unripe[person].remove(news.decision)
                self._sums[person].shown(self._z[news.decision], shown_s)
            self._sums[person].redeemed(self._z[news.decision], shown_s)

    def _ripen(self, person: int, now_s: float) -> None:
        """A showing counts in the person's own part as unanswered when its window is over (service.learning.ripening)."""
        unripe = self._unripe[person]
        while unripe and self.log.shown_at(unripe[0]) + WINDOWS_S[REDEEM] <= now_s:
            decision = unripe.popleft()
            self._sums[person].shown(self._z[decision], self.log.shown_at(decision))

    def new_day(self, at_s: float) -> None:
        """A snapshot a day; the map of tastes and the variances of the personal layer once a week."""
        if at_s - self._map_s >= MAP_EVERY_S:
            self._map_s = at_s
            packed = [state.pack() for state in self.tastes]
            self._map = taste_map.learn(packed, int(at_s // DAY_S), self._map, ())
            for person in range(self.world.size):
                self._ripen(person, at_s)
            self._variances = personal_variance.learn(np.stack([one.at(at_s) for one in self._sums]), self._variances)
        self.model = self._snapshot(at_s)

    def _snapshot(self, now_s: float) -> Model:
        return self._learner.snapshot(self.log.rows(), self._population, self._variances, now_s)
