"""Arrays that make rounds, and those that are refused by their name."""

from typing import Any

import numpy as np
import pytest

from service.replay import rounds

PHI = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
REWARD = np.array([[0, 1, 0], [1, 0, 0]])


def test_rounds_of_three_arrays() -> None:
    eligible = np.array([[True, True, False], [False, True, True]])
    made = rounds.checked({"phi": PHI.astype(np.float64), "reward": REWARD, "eligible": eligible})
    assert made.phi.dtype == np.float32
    assert made.phi.flags.c_contiguous
    assert np.array_equal(made.phi, PHI)
    assert np.array_equal(made.eligible, eligible)
    assert made.earned(np.array([1, 1])).tolist() == [1.0, 0.0]
    assert made.is_yes_or_no()
    assert made.first(1).length == 1
    assert made.first(None).length == 2
    with pytest.raises(rounds.NotRoundsError, match="phi: 2 rounds are fewer than 3"):
        made.first(3)


def test_without_eligible_every_arm_may_be_chosen() -> None:
    made = rounds.checked({"phi": PHI, "reward": REWARD * 0.5})
    assert made.eligible.all()
    assert not made.is_yes_or_no()


def planted(array: Any, place: tuple[int, ...], value: float) -> Any:
    changed = np.array(array, np.float64)
    changed[place] = value
    return changed


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"phi": None}, "phi: missing"),
        ({"reward": None}, "reward: missing"),
        ({"phi": PHI[0]}, r"phi: shape \(3, 4\) is not \(rounds, arms, d\)"),
        ({"phi": PHI[:0]}, r"phi: shape \(0, 3, 4\)"),
        ({"phi": PHI[:, :, :0]}, r"phi: shape \(2, 3, 0\)"),
        ({"phi": PHI.astype("U8")}, "phi: type <U8 is no type of real numbers"),
        ({"phi": PHI.astype(complex)}, "phi: type complex128"),
        ({"phi": planted(PHI, (1, 2, 3), np.nan)}, r"phi: nan at \(1, 2, 3\) is not finite"),
        ({"phi": planted(PHI, (0, 0, 1), 1e300)}, r"phi: inf at \(0, 0, 1\) is not finite"),
        ({"reward": REWARD[:1]}, r"reward: shape \(1, 3\) instead of \(2, 3\)"),
        ({"reward": planted(REWARD, (1, 1), -np.inf)}, r"reward: -inf at \(1, 1\)"),
        ({"eligible": np.ones((2, 2), bool)}, r"eligible: shape \(2, 2\) instead of \(2, 3\)"),
        ({"eligible": np.ones((2, 3))}, "eligible: type float64 instead of bool"),
        ({"eligible": np.array([[True] * 3, [False] * 3])}, "eligible: no arm may be chosen in round 1"),
    ],
)
def test_what_is_wrong_is_named(changed: dict[str, Any], message: str) -> None:
    given = {"phi": PHI, "reward": REWARD} | changed
    with pytest.raises(rounds.NotRoundsError, match=f"^{message}"):
        rounds.checked({name: array for name, array in given.items() if array is not None})
