"""The hundred deals of the demo: one for each product category ranked from 21, without what is sensitive or restricted by age."""

import csv
import io
from typing import Final, NamedTuple

import numpy as np

from service.demo.groceries import Baskets

DEALS: Final = 100
FIRST_RANK: Final = 21
"""The twenty categories before it are in so many baskets that any deal of theirs would be redeemed."""

_SENSITIVE: Final = frozenset(
    {
        "analgesics",
        "baby foods",
        "baby hbc",
        "beers/ales",
        "cigarettes",
        "cold and flu",
        "diapers & disposables",
        "domestic wine",
        "feminine hygiene",
    }
)
_NO_PRODUCT: Final = frozenset({"coupon/misc items"})
_DISCOUNT_PERCENT: Final = 20


class Deal(NamedTuple):
    """One offer of the demo; `tag` is an index into Baskets.tag_names, `rank` that of the category by household-weeks."""

    offer_id: str
    title: str
    tag: int
    rank: int


def choose(baskets: Baskets) -> tuple[Deal, ...]:
    """The deals, best-sold first; of all households, so that every run has the same ones."""
    bought = baskets.household_weeks()
    ranked = np.argsort(-bought, kind="stable")
    left_out = _SENSITIVE | _NO_PRODUCT
    deals: list[Deal] = []
    for rank, tag in enumerate(ranked.tolist(), start=1):
        name = baskets.tag_names[tag]
        if rank >= FIRST_RANK and name not in left_out and len(deals) < DEALS:
            deals.append(Deal(f"deal-{rank:03d}", f"{_DISCOUNT_PERCENT} % off {name}", tag, rank))
    return tuple(deals)


def as_csv(deals: tuple[Deal, ...], tag_names: tuple[str, ...]) -> bytes:
    """The file of offers as a merchandiser would upload it."""
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(["offer_id", "title", "tags", "discount_type", "discount_percent", "currency"])
    for deal in deals:
        rows.writerow([deal.offer_id, deal.title, tag_names[deal.tag], "percent", _DISCOUNT_PERCENT, "USD"])
    return text.getvalue().encode()
