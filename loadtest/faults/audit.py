"""The ledger of the clients against the database: what was acknowledged is there, once, and nothing was given beyond its limit."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from loadtest.faults import recount
from loadtest.faults.ledger import Ledger, Told
from loadtest.faults.town import Town
from loadtest.faults.verdict import Verdict
from schema.event import CODES

_KEYS: Final = "select u.external_id, k.event_key from event_keys k join users u using (user_id)"
_ANSWERS: Final = "select decision_id, slot, type from events where decision_id is not null"
_DECISIONS: Final = """
    select d.decision_id, u.external_id, d.is_degraded, array(
             select o.external_id from unnest(d.offer_ids) with ordinality as s(id, n) join offers o on o.offer_id = s.id
              where d.action = 1 order by n)
      from decisions d join users u using (user_id) where d.channel = 0
"""
_VETOES: Final = (
    "select u.external_id, o.external_id from users u join offers o on o.offer_id = any(u.vetoed_offer_ids)"
)
_SALES: Final = (
    "select r.reference, r.redemption_id::text, o.external_id from redemptions r join offers o using (offer_id)"
)
_ALLOWANCES: Final = """
    select o.external_id, a.redemptions_max, a.reserved, a.redeemed,
           (select count(*) from redemptions r where r.offer_id = o.offer_id and r.rolled_back_at is null),
           (select count(*) from reservations s where s.offer_id = o.offer_id and s.state = 0)
      from allowances a join offers o on a.holder = holder_of(o.offer_id) where a.redemptions_max is not null
"""


async def audit(connection: Any, ledger: Ledger, town: Town, pushes: list[Mapping[str, Any]]) -> Verdict:
    """Judges a database that has come to rest; `pushes` are what phones received."""
    verdict = Verdict()
    verdict.add("strange", ledger.strange)
    await _events(connection, ledger, verdict)
    await _decisions(connection, ledger, verdict)
    await _sales(connection, ledger, verdict)
    await recount.learned(connection, verdict)
    _pushes(town, pushes, verdict)
    return verdict


async def _events(connection: Any, ledger: Ledger, verdict: Verdict) -> None:
    keys = Counter((row[0], str(row[1])) for row in await connection.fetch(_KEYS))
    verdict.add("acked_and_lost", (f"event {name}" for name, who in ledger.events.items() if (who, name) not in keys))
    events = await connection.fetchval("select count(*) from events")
    sales = await connection.fetchval("select count(*) from redemptions")
    if events != keys.total() + sales:  # a key or a sale and its event are one transaction
        verdict.add("double_counted", [f"{events} events of {keys.total()} keys and {sales} sales"])
    answers = Counter((str(row[0]), row[1], row[2]) for row in await connection.fetch(_ANSWERS))
    told = [(name, slot, CODES[kind]) for name, slot, kind in ledger.feedback]
    verdict.add("acked_and_lost", (f"feedback {one}" for one in told if not answers[one]))
    verdict.add("double_counted", (f"feedback {one}" for one in told if answers[one] > 1))


async def _decisions(connection: Any, ledger: Ledger, verdict: Verdict) -> None:
    rows = await connection.fetch(_DECISIONS)
    counts = Counter(str(row[0]) for row in rows)
    verdict.add("double_counted", (f"decision {name}" for name, count in counts.items() if count > 1))
    kept = {str(row[0]): Told(row[1], tuple(row[3]), row[2]) for row in rows}
    wrong = (
        f"decision {name}: {told}, kept {kept.get(name)}"
        for name, told in ledger.decisions.items()
        if kept.get(name) != told
    )
    verdict.add("acked_and_lost", wrong)
    vetoed = defaultdict[str, set[str]](set)
    for row in await connection.fetch(_VETOES):
        vetoed[row[0]].add(row[1])
    verdict.add(
        "acked_and_lost", (f"veto of {who}" for who, offers in ledger.vetoes.items() if not offers <= vetoed[who])
    )


async def _sales(connection: Any, ledger: Ledger, verdict: Verdict) -> None:
    rows = await connection.fetch(_SALES)
    kept = {row[0]: (row[1], row[2]) for row in rows}
    verdict.add("acked_and_lost", (f"sale {key}" for key, sale in ledger.sales.items() if kept.get(key) != tuple(sale)))
    verdict.add("double_counted", (f"sale {key}" for key, n in Counter(row[0] for row in rows).items() if n > 1))
    verdict.add("strange", (f"sale {key} was refused and is there" for key in ledger.refusals if key in kept))
    for name, limit, reserved, redeemed, sold, promised in await connection.fetch(_ALLOWANCES):
        if sold > limit or reserved + redeemed > limit:
            verdict.add("over_redeemed", [f"{name}: {sold} sold and {promised} promised of {limit}"])
        if (reserved, redeemed) != (promised, sold):
            verdict.add("double_counted", [f"{name}: counted {reserved}/{redeemed}, there are {promised}/{sold}"])


def _pushes(town: Town, pushes: list[Mapping[str, Any]], verdict: Verdict) -> None:
    """By what phones received: nothing twice, nobody more often than the cap allows."""
    copies = Counter(UUID(push["tag"]) for push in pushes)
    verdict.add("double_counted", (f"push {tag} came {count} times" for tag, count in copies.items() if count > 1))
    by_phone = Counter(push["address"] for push in pushes)
    verdict.add("caps_broken", (f"{phone} got {count} pushes" for phone, count in by_phone.items() if count > town.cap))
