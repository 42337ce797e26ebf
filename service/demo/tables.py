"""The result as rows of text, for the terminal and for the page."""

from typing import Final

from service.demo.bootstrap import Ratio
from service.demo.moments import Moments, Opens
from service.demo.results import Policy, Results, Span

POLICY_TITLES: Final = (
    "policy",
    "pushes",
    "no-sends",
    "opened",
    "/push",
    "/hh-week",
    "redeemed",
    "/push",
    "/hh-week",
)
COMPARISON_TITLES: Final = ("engine against", "redemptions a household-week", "opens a household-week")
MOMENT_TITLES: Final = (
    "opens a push",
    "pushes",
    "chosen",
    "best hour",
    "any hour",
    "÷ best hour",
    "÷ any hour",
    "at night",
)
_NOTHING: Final = "none"


def policies(results: Results) -> list[list[str]]:
    """One row for each policy, in the order of POLICY_TITLES."""
    return [[name, *_cells(policy)] for name, policy in results.policies.items()]


def comparison(span: Span) -> list[list[str]]:
    """One row for each reference, in the order of COMPARISON_TITLES, and the share of the oracle."""
    rows = [[name, _ratio(versus.redeemed), _ratio(versus.opened)] for name, versus in span.versus.items()]
    return [*rows, ["share of the oracle", _share(span.share_of_oracle, 1), ""]]


def moments(found: Moments) -> list[list[str]]:
    """A row for everybody and one for those who shop at night, in the order of MOMENT_TITLES."""
    return [
        ["everyone", *_opens(found.everyone), _share(found.sent_at_night, 1)],
        ["who shop at night", *_opens(found.night_households), _share(found.sent_at_night_to_night_households, 1)],
    ]


def _opens(opens: Opens) -> list[str]:
    rates = (_share(rate, 1) for rate in (opens.chosen, opens.best_hour, opens.random_hour))
    return [f"{opens.pushes:,}", *rates, _ratio(opens.vs_best_hour), _ratio(opens.vs_random_hour)]


def _cells(policy: Policy) -> list[str]:
    return [
        f"{policy.pushes:,}",
        f"{policy.no_sends:,}",
        f"{policy.opened:,}",
        _share(policy.opened_per_push, 2),
        _share(policy.opened_per_household_week, 2),
        f"{policy.redeemed:,}",
        _share(policy.redeemed_per_push, 2),
        _share(policy.redeemed_per_household_week, 2),
    ]


def _share(share: float | None, digits: int) -> str:
    return _NOTHING if share is None else f"{share:.{digits}%}"


def _ratio(ratio: Ratio) -> str:
    if ratio.value is None:
        return _NOTHING
    low, high = (f"{bound:.2f}" if bound is not None else "∞" for bound in (ratio.low, ratio.high))
    return f"{ratio.value:.2f} [{low}, {high}]"
