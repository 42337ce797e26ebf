"""When what is killed: drawn from a seed, printed, and the same again with the same seed."""

from random import Random
from typing import Final, NamedTuple

VICTIMS: Final = ("api", "worker", "drawer", "postmaster", "postgres")
"""One API worker; the background worker; the drawer; the postmaster alone; every process of PostgreSQL."""

TWO_AT_ONCE: Final = 0.15
"""Share of the instants at which two different ones are killed."""

FIRST_AT_S: Final = 2.0
LAST_BEFORE_END: Final = 0.95


class Kill(NamedTuple):
    """What is killed at an instant, in seconds from the beginning of the load."""

    at_s: float
    victims: tuple[str, ...]


def random_of(seed: str, name: str) -> Random:
    """The random numbers of one part of a run."""
    return Random(f"{seed}/{name}")  # noqa: S311 - nothing here is a secret


def draw(seed: str, kills: int, seconds: float) -> list[Kill]:
    """So many kills over so many seconds, at uniform instants; every kind of victim comes in turn, in a drawn order."""
    random = random_of(seed, "schedule")
    victims: list[str] = []
    while len(victims) < kills:
        victims += random.sample(VICTIMS, len(VICTIMS))
    grouped = _grouped(victims[:kills], random)
    instants = sorted(random.uniform(FIRST_AT_S, LAST_BEFORE_END * seconds) for _ in grouped)
    return [Kill(at_s, group) for at_s, group in zip(instants, grouped, strict=True)]


def _grouped(victims: list[str], random: Random) -> list[tuple[str, ...]]:
    groups: list[tuple[str, ...]] = []
    for victim in victims:
        last = groups[-1] if groups else ()
        if len(last) == 1 and victim not in last and random.random() < TWO_AT_ONCE:
            groups[-1] = (*last, victim)
        else:
            groups.append((victim,))
    return groups


def in_words(kills: list[Kill]) -> str:
    """One line for each."""
    return "\n".join(f"{kill.at_s:8.1f} s  {' + '.join(kill.victims)}" for kill in kills)
