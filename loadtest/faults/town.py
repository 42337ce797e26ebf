"""The world of a run: people with phones, offers some of which are scarce, and campaigns that an event sets off."""

import asyncio
import math
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from loadtest.faults.caller import Caller

PEOPLE: Final = 40
PLENTIFUL: Final = 8
CAMPAIGNS: Final = 3
TAGS: Final = tuple(f"tag-{n}" for n in range(20))
WANTED_TO_LIMIT: Final = 2
"""So many sales want each unit of what is scarce."""
SALES_PER_S: Final = 12.0
"""The most that tills do: so many scarce offers there are that they last."""
HEARD_S: Final = 1.5
"""Until every API worker has heard of a campaign."""


class Town(NamedTuple):
    """`limit` units of each scarce offer; nobody gets more than `cap` pushes a day."""

    limit: int
    scarce: int
    cap: int

    def code_of(self, sale: int) -> str:
        """The code that a sale is made by; each scarce offer is wanted by twice as many as there are units of it."""
        return f"SCARCE{min(sale // (WANTED_TO_LIMIT * self.limit), self.scarce - 1)}"


def person(number: int) -> str:
    """The id of a person, as the app knows it."""
    return f"person-{number}"


def plan(seconds: float) -> Town:
    """A town in which something is scarce until the end of a run of so many seconds."""
    limit = 30 if seconds < 120 else 200
    scarce = 1 + math.ceil(seconds * SALES_PER_S / (WANTED_TO_LIMIT * limit))
    return Town(limit, scarce, 2 if seconds < 120 else 10)


async def build(caller: Caller, town: Town) -> None:
    """Makes everything by the API, as an operator would."""
    cap = {"pushes_max": town.cap, "per": "local_day"}
    await caller.call("PUT", "/v1/contact-rules", {"quiet_hours": [], "caps": [cap], "min_gap_s": 0})
    for number in range(PLENTIFUL):
        offer = {"offer_id": f"plenty-{number}", "tags": list(TAGS[number : number + 2]), "code": f"PLENTY{number}"}
        await caller.call("PUT", f"/v1/offers/plenty-{number}", offer | {"creative": {"title": f"Deal {number}"}})
    for number in range(town.scarce):
        offer = {"offer_id": f"scarce-{number}", "tags": [TAGS[-1]], "code": f"SCARCE{number}"}
        limited = {"creative": {"title": f"Scarce {number}"}, "redemptions_max": town.limit}
        await caller.call("PUT", f"/v1/offers/scarce-{number}", offer | limited)
    for number in range(PEOPLE):
        phone = {"user_id": person(number), "token": f"ok-{number}", "platform": "android", "time_zone": _noon()}
        await caller.call("PUT", f"/v1/devices/phone-{number}", phone)
    for number in range(CAMPAIGNS):
        await caller.call("POST", "/v1/campaigns", _campaign(number), key=f"campaign-{number}")
    await asyncio.sleep(HEARD_S)


def _campaign(number: int) -> dict[str, object]:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    return {
        "campaign_id": f"left-store-{number}",
        "starts_at": (today - timedelta(days=2)).isoformat(),
        "ends_at": (today + timedelta(days=9)).isoformat(),
        "trigger": {"event_type": "left_store", "cooldown_s": 60},
        "offers": [f"plenty-{each}" for each in range(PLENTIFUL)],
        "holdout_share": 0.0,
        "control_share": 0.0,
    }


def _noon() -> str:
    """A time zone in which it is about noon: no run reaches the end of its day, when caps begin anew."""
    behind = datetime.now(UTC).hour - 12
    return f"Etc/GMT{behind:+d}" if behind else "Etc/GMT"
