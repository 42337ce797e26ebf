"""The engine with the goal incremental_value: it also learns from the windows in which nothing was sent."""

import numpy as np

from bandits import incremental, incremental_fit
from bandits.incremental import Own, Worth
from bandits.incremental_fit import Windows
from bandits.policies.incremental_draw import GainTerms, draw_gain, exploration
from bandits.simulation.engine import Engine, Settings
from bandits.simulation.life import Life
from bandits.simulation.people import Flags
from bandits.simulation.player import Choice, Told
from bandits.simulation.week import F64
from bandits.simulation.world import World


class IncrementalEngine(Engine):
    """Features, tastes and rhythms are the engine's; the value of a push is what it adds."""

    def __init__(self, world: World, life: Life, settings: Settings) -> None:
        super().__init__(world, life, settings)
        self.learned = incremental_fit.unknown(world.size)
        self._known = incremental.known(self.learned.effect)
        self._worth = Worth(world.offers.margin, world.offers.discount)
        self._bought_after: dict[int, float] = {}
        self._redeemed = 0
        self._sent = 0

    def decide(self, decision: int, person: int, at_s: float, mask: Flags) -> Choice:
        """Draws by gains."""
        phi = self.features(person, at_s)
        mean, variance = self.learned.own
        own = Own(mean[[person]], variance[[person]])
        drawn = draw_gain(self._known, own, phi, self._worth, mask, self._gain_terms(), self.key(decision))
        self.keep(person, phi[drawn.chosen], drawn.chosen, at_s)
        return Choice(drawn.chosen, drawn.pmf, drawn.send_probability, drawn.is_sent)

    def _gain_terms(self) -> GainTerms:
        scale = exploration(self._sent, self.settings.exploration)
        return GainTerms(self.settings.floor, scale, self.settings.gate_floor, self.world.goal.attention_price)

    def sent(self, decision: int) -> None:
        """A push of which the effect is to be learned."""
        self._sent += 1
        super().sent(decision)

    def told(self, news: Told) -> None:
        """A purchase within the window counts whatever was sent."""
        if news.head == "bought":
            self._bought_after[news.decision] = news.told_s
        if news.head == "redeem":
            self._redeemed += 1
        super().told(news)

    def new_day(self, at_s: float) -> None:
        """The snapshot of the engine, and the effect of pushes as of now."""
        super().new_day(at_s)
        phi, began_at_s, is_sent = self.log.windows()
        if len(phi):
            windows = Windows(phi, np.array(self.people), began_at_s, is_sent, *self._bought(began_at_s))
            self.learned = incremental_fit.learn(windows, self._redeemed, self.learned, at_s)
            self._known = incremental.known(self.learned.effect)

    def _bought(self, began_at_s: F64) -> tuple[F64, F64]:
        """(n,) whether the thing was bought, and the age at which that was told."""
        is_bought, age_s = np.zeros(len(began_at_s)), np.zeros(len(began_at_s))
        for decision, told_s in self._bought_after.items():
            is_bought[decision], age_s[decision] = 1.0, told_s - began_at_s[decision]
        return is_bought, age_s
