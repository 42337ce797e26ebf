"""Rounds of which the reward of every arm is known, so that any policy can be played on them."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

ARRAYS: Final = ("phi", "reward", "eligible")


class NotRoundsError(ValueError):
    """Arrays that do not make rounds; the message begins with the array's name."""


class Rounds(NamedTuple):
    """In the order they are played.

    Attributes:
        phi: (rounds, arms, d) features.
        reward: (rounds, arms) what each arm would have earned.
        eligible: (rounds, arms) the arms that may be chosen, at least one a round.
    """

    phi: F32
    reward: F64
    eligible: Flags

    @property
    def length(self) -> int:
        return len(self.phi)

    def first(self, count: int | None) -> "Rounds":
        """The first of them; None is all.

        Raises:
            NotRoundsError: there are fewer.
        """
        if count is not None and count > self.length:
            raise NotRoundsError(f"phi: {self.length} rounds are fewer than {count}")
        return Rounds(self.phi[:count], self.reward[:count], self.eligible[:count])

    def earned(self, arms: npt.NDArray[np.int64]) -> F64:
        """(rounds,) what these arms earned."""
        found: F64 = self.reward[np.arange(self.length), arms]
        return found

    def is_yes_or_no(self) -> bool:
        """Whether every reward is 0 or 1, as a logistic model wants it."""
        return bool(((self.reward == 0.0) | (self.reward == 1.0)).all())


def checked(given: Mapping[str, npt.NDArray[Any]]) -> Rounds:
    """Rounds of the arrays of a file: phi (rounds, arms, d), reward (rounds, arms), perhaps eligible (rounds, arms).

    Raises:
        NotRoundsError: an array is missing, has a wrong shape or type, or holds what is no number.
    """
    for name in ARRAYS[:2]:
        if name not in given:
            raise NotRoundsError(f"{name}: missing")
    phi = _phi(given["phi"])
    shape = phi.shape[:2]
    reward = _numbers(given["reward"], "reward", shape).astype(np.float64)
    eligible = _eligible(given["eligible"], shape) if "eligible" in given else np.ones(shape, np.bool_)
    return Rounds(phi, reward, eligible)


def _phi(given: npt.NDArray[Any]) -> F32:
    if given.ndim != 3 or 0 in given.shape:
        raise NotRoundsError(f"phi: shape {given.shape} is not (rounds, arms, d), each at least 1")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes an infinity, and is refused
        phi = np.ascontiguousarray(_numbers(given, "phi", given.shape), np.float32)
    return _finite(phi, "phi")


def _numbers(given: npt.NDArray[Any], name: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    if given.shape != shape:
        raise NotRoundsError(f"{name}: shape {given.shape} instead of {shape}")
    if given.dtype.kind not in "biuf":
        raise NotRoundsError(f"{name}: type {given.dtype} is no type of real numbers")
    return _finite(given, name)


def _finite(given: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    wrong = ~np.isfinite(given)
    if wrong.any():
        place = tuple(int(index) for index in np.argwhere(wrong)[0])
        raise NotRoundsError(f"{name}: {given[place]} at {place} is not finite")
    return given


def _eligible(given: npt.NDArray[Any], shape: tuple[int, ...]) -> Flags:
    if given.shape != shape:
        raise NotRoundsError(f"eligible: shape {given.shape} instead of {shape}")
    if given.dtype != np.bool_:
        raise NotRoundsError(f"eligible: type {given.dtype} instead of bool")
    empty = np.flatnonzero(~given.any(axis=1))
    if empty.size:
        raise NotRoundsError(f"eligible: no arm may be chosen in round {empty[0]}")
    return np.ascontiguousarray(given)
