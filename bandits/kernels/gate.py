"""Whether the drawn offer is worth the attention it costs: the probability of sending, and the pmf with no_send in it."""

import numpy as np
from numpy.typing import NDArray

from bandits.kernels.compile import boolean, f64, f64_in, f64_out, kernel
from bandits.kernels.normal import cdf


@kernel(f64(f64, f64, f64, f64, boolean))
def send_probability(value: float, sd: float, price: float, margin: float, is_value_nonnegative: bool) -> float:
    """p(send | a) = clip(cdf((value - price) / sd), margin, 1 - margin).

    Args:
        value: of the drawn offer, after shadow prices, in the unit of `price`.
        sd: its standard deviation, the one given to the pmf; with 0 the sign decides and a tie is one half.
        price: of the person's attention.
        margin: g in [0, 0.5]; both answers keep at least this probability.
        is_value_nonnegative: no offer can do harm, so at price 0 (or below) the answer is exactly 1 - margin.
    """
    if is_value_nonnegative and price <= 0.0:
        return 1.0 - margin
    if sd > 0.0:
        p = cdf((value - price) / sd)
    elif value == price:
        p = 0.5
    else:
        p = 1.0 if value > price else 0.0
    return min(max(p, margin), 1.0 - margin)


@kernel(f64(f64_in, f64_in, f64_in, f64, f64, boolean, f64_out))
def gate_pmf(
    p: NDArray[np.float64],
    value: NDArray[np.float64],
    sd: NDArray[np.float64],
    price: float,
    margin: float,
    is_value_nonnegative: bool,
    out: NDArray[np.float64],
) -> float:
    """Write p(a) * p(send | a) for each arm and return p(no_send), the rest; an empty pmf gives 1.

    Args:
        p: (arms,) the pmf the offer is drawn from.
        value: (arms,) as in `send_probability`, like the arguments that follow.
        sd: (arms,).
        price: one for all arms.
        margin: g.
        is_value_nonnegative: no offer can do harm.
        out: (arms,) the probability that this arm is drawn and sent.
    """
    sent = 0.0
    for k in range(p.shape[0]):
        out[k] = 0.0
        if p[k] > 0.0:
            out[k] = p[k] * send_probability(value[k], sd[k], price, margin, is_value_nonnegative)
            sent += out[k]
    return max(1.0 - sent, 0.0)
