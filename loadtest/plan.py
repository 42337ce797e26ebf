"""How large and how long a run is."""

from typing import Final, NamedTuple

from loadtest.world import World


class Plan(NamedTuple):
    """Counts and seconds of each part; a part of 0 seconds or rounds is left out.

    A slow start shortens the turns, down to LEAST of their length, so that the run ends within `over_after_s` where that can be had.
    """

    name: str
    town: World
    city: World
    rounds: int
    turn_s: float
    step_s: float
    half_rounds: int
    half_s: float
    half_open_rounds: int
    half_open_s: float
    punctual_s: float
    overload_rounds: int
    overload_s: float
    workload_s: float
    import_rows: int
    two_workers_rounds: int
    city_rounds: int
    over_after_s: float
    given_up_after_s: float

    def shortened(self, spent_s: float, expected_s: float) -> "Plan":
        """The same with shorter turns when the start took longer than expected."""
        share = (self.over_after_s - spent_s) / (self.over_after_s - expected_s)
        by = min(max(share, LEAST), 1.0)
        lengths = ("turn_s", "step_s", "half_s", "half_open_s", "punctual_s", "overload_s", "workload_s")
        return self._replace(**{name: getattr(self, name) * by for name in lengths})


LEAST: Final = 0.5
EXPECTED_START_S: Final = 30.0

TOWN: Final = World("town", people=10_000, told=2_000, offers=100, regions=2, viral_max=300)
CITY: Final = World("city", people=1_000_000, told=2_000, offers=1_000, regions=20)

QUICK: Final = Plan(
    name="quick",
    town=TOWN,
    city=CITY,
    rounds=8,
    turn_s=1.2,
    step_s=0.0,
    half_rounds=2,
    half_s=3.0,
    half_open_rounds=0,
    half_open_s=0.0,
    punctual_s=2.0,
    overload_rounds=1,
    overload_s=3.0,
    workload_s=0.0,
    import_rows=0,
    two_workers_rounds=0,
    city_rounds=0,
    over_after_s=115.0,
    given_up_after_s=420.0,
)
FULL: Final = Plan(
    name="full",
    town=TOWN,
    city=CITY,
    rounds=12,
    turn_s=1.6,
    step_s=3.0,
    half_rounds=8,
    half_s=5.0,
    half_open_rounds=5,
    half_open_s=4.0,
    punctual_s=6.0,
    overload_rounds=5,
    overload_s=6.0,
    workload_s=20.0,
    import_rows=1_000,
    two_workers_rounds=6,
    city_rounds=8,
    over_after_s=840.0,
    given_up_after_s=900.0,
)
