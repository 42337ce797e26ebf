"""What is wanted of the numbers, each beside what this run says of it. A claim does not fail a run: budgets do."""

from typing import Final, NamedTuple

import msgspec

from loadtest.budgets import value_of


class _Aim(NamedTuple):
    figure: str
    at_least: float
    at_most: float
    what: str


_ANY: Final = float("inf")
AIMS: Final = (
    _Aim("decisions.ratio_to_echo", 0.30, _ANY, "CPU of a bare echo ÷ CPU of a durable decision, API worker"),
    _Aim("half.p99_ratio_to_insert", 0.0, 3.0, "p99 of a decision ÷ p99 of one durable INSERT, at half of saturation"),
    _Aim(
        "two_workers.events.ratio_to_insert",
        0.6,
        _ANY,
        "durable events a second in batches of 20, two API workers ÷ rows a second of unnest",
    ),
    _Aim("two_workers.cores.ratio", 1.2, _ANY, "decisions a second on all cores ÷ on one, two API workers"),
    _Aim("scale.beside.per_s_ratio", 0.75, _ANY, "throughput with 1 M people, 1,000 offers ÷ with 10,000 and 100"),
    _Aim(
        "half_open.p99_ratio",
        0.0,
        1.5,
        "p99 of a decision beside 1,000 half-open clients ÷ without them, at half of saturation",
    ),
    _Aim("half_open.longest_close_s", 0.0, 11.5, "the longest that a half-open client was there, in s"),
    _Aim("overload.p99_ratio", 0.0, 2.0, "p99 of the admitted at three times capacity ÷ at capacity"),
    _Aim("overload.refusal_p99_ms", 0.0, 20.0, "p99 of a refusal at three times capacity, in ms"),
)


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """An aim beside what was measured; null bounds are none."""

    name: str
    what: str
    value: float
    at_least: float | None
    at_most: float | None
    holds: bool


def judge(report: object) -> list[Claim]:
    """Those whose part the run had."""
    found = ((aim, value_of(report, aim.figure)) for aim in AIMS)
    return [
        Claim(
            name=aim.figure,
            what=aim.what,
            value=value,
            at_least=aim.at_least if aim.at_least > 0 else None,
            at_most=aim.at_most if aim.at_most < _ANY else None,
            holds=aim.at_least <= value <= aim.at_most,
        )
        for aim, value in found
        if value is not None
    ]
