"""Small worlds for the demo's tests, written as shopping lists in local time."""

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np

from service.demo.deals import Deal
from service.demo.groceries import Baskets
from service.demo.world import World

ZONE = ZoneInfo("America/New_York")
TAGS = ("bread", "milk", "soap", "tea")
DEALS = (Deal("deal-milk", "milk", 1, 21), Deal("deal-soap", "soap", 2, 22), Deal("deal-tea", "tea", 3, 23))
MILK, SOAP, TEA = range(3)

Shopping = tuple[int, str, str]
"""Household, local time, tags with spaces between them."""


def seconds(local: str) -> int:
    return int(datetime.fromisoformat(local).replace(tzinfo=ZONE).timestamp())


def baskets(households: int, lists: Sequence[Shopping]) -> Baskets:
    ordered = sorted((household, seconds(local), tags) for household, local, tags in lists)
    owner = [household for household, _, _ in ordered]
    items = [sorted(TAGS.index(tag) for tag in tags.split()) for _, _, tags in ordered]
    return Baskets(
        household_ids=np.arange(households, dtype=np.int64) + 1000,
        starts=np.searchsorted(owner, np.arange(households + 1)),
        ids=np.arange(len(ordered), dtype=np.int64),
        at_s=np.array([at_s for _, at_s, _ in ordered], np.int64),
        tag_starts=np.concatenate([[0], np.cumsum([len(one) for one in items], dtype=np.int64)]).astype(np.int64),
        tags=np.array([tag for one in items for tag in one], np.int16),
        tag_names=TAGS,
    )


def world(households: int, weeks: int, lists: Sequence[Shopping]) -> World:
    return World(baskets(households, lists), DEALS, weeks)
