"""Many baskets at once teach what they teach one by one."""

import numpy as np

from bandits.kernels.tastes import add_baskets
from bandits.tastes import Tastes


def test_baskets_of_one_call_teach_as_those_of_many() -> None:
    draw = np.random.default_rng(5)
    sizes = np.array([3, 0, 1, 40, 7, 90, 2])
    starts = np.concatenate([[4], 4 + np.cumsum(sizes)])  # of a longer table
    tags = np.concatenate([draw.permutation(300)[:size] for size in (4, *sizes, 5)]).astype(np.uint16)
    at_s = 1_489_000_000 + np.cumsum(draw.integers(1, 9 * 86_400, len(sizes)))
    one_by_one, at_once = Tastes(), Tastes()
    for begin, end, when in zip(starts[:-1], starts[1:], at_s.tolist(), strict=True):
        one_by_one.bought(tags[begin:end].tolist(), float(when))
    add_baskets(at_once.header, at_once.entries, tags, starts, at_s)
    assert at_once.pack() == one_by_one.pack()
    assert at_once.header["entries"][0] > 100
