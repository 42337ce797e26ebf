"""When requests arrive: drawn beforehand, so that no slow answer holds up the next request. People do not wait for one another."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]


def poisson(per_s: float, seconds: float, seed: int) -> F64:
    """Poisson arrivals within `seconds`, ascending, in seconds from the start; at least one."""
    rng = np.random.default_rng(seed)
    count = int(per_s * seconds + 6 * np.sqrt(per_s * seconds) + 10)
    times = np.cumsum(rng.exponential(1.0 / per_s, count))
    within = times[times < seconds]
    return within if len(within) else np.zeros(1)


def varying(per_s: Callable[[F64], F64], per_s_max: float, seconds: float, seed: int) -> F64:
    """The same at a rate that changes with time and is never above `per_s_max`: Poisson arrivals, thinned (Lewis and Shedler, 1979)."""
    times = poisson(per_s_max, seconds, seed)
    kept = times[np.random.default_rng(seed + 1).random(len(times)) * per_s_max < per_s(times)]
    return kept if len(kept) else np.zeros(1)


def flood(times: F64, quiet_per_s: float, peak_per_s: float, pushed_at_s: float, half_life_s: float) -> F64:
    """A rate after a push: quiet until it is sent, then at once the peak, from which what is above the quiet halves each half-life."""
    since = np.maximum(times - pushed_at_s, 0.0)
    return np.where(
        times < pushed_at_s, quiet_per_s, quiet_per_s + (peak_per_s - quiet_per_s) * np.exp2(-since / half_life_s)
    )
