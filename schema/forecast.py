"""What a campaign would do if it were planned now: who, when, and why not."""

from datetime import datetime
from typing import Final, Literal

from schema.base import Kept

SAMPLE_MAX: Final = 5_000
"""People whose moments are drawn for a forecast; of a larger audience it is a sample."""

NAMED_MAX: Final = 20
"""People that one forecast tells of by name."""

Step = Literal[
    "people", "consent", "live_token", "tags", "places", "activity", "phone", "moment", "rules_of_contact", "offer"
]


class FunnelStep(Kept, frozen=True):
    """How many people are left after a step of the funnel, and how many left in it for which reason.

    Exact as far as the audience goes (`phone`); after it of a sample, if the audience is larger than that, scaled up.
    """

    step: Step
    left: int
    left_out: dict[str, int]


class ForecastPerson(Kept, frozen=True):
    """One person: when a push is planned for them, or why none is. `local_hour` is the hour of the week on their own clock, Monday 00:00 is 0.

    `left_out_by` beside a moment is what would keep the push back when it is due, as things stand now. Who is in the `holdout` gets none,
    who is in the `control` group one that is drawn at random.
    """

    user_id: str
    left_out_by: str | None
    send_at: datetime | None
    local_hour: int | None
    time_zone: str
    group: Literal["treated", "control", "holdout"]


class Forecast(Kept, frozen=True):
    """The answer of a dry run. Nothing was written.

    `occurrence_at` is the local start of the window that would be planned next, null when none is left, and `plan_at` when that will happen;
    who is reachable by then and what they have done since is not known now. Of `audience` people the moments of `sampled` were drawn, by the same seed
    as planning draws them: `planned` is how many rows that makes, `hours` how they fall on the 168 local hours of the week, `held_out` and
    `control` how many of them belong to these groups.
    """

    campaign_id: str
    made_at: datetime
    occurrence_at: datetime | None
    plan_at: datetime | None
    audience: int
    sampled: int
    planned: int
    held_out: int
    control: int
    funnel: list[FunnelStep]
    hours: list[int]
    people: list[ForecastPerson]
