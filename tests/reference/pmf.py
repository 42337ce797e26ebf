"""Truth for the argmax pmf: the union of a fine grid around every arm, float64, certain scores as atoms."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]

F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]


def argmax_pmf(mean: F64, sd: F64, mask: Mask, floor: float) -> F64:
    m, s = np.asarray(mean, float)[mask], np.asarray(sd, float)[mask]
    out = np.zeros(len(mask))
    if len(m) == 0:
        return out
    out[mask] = (1 - floor) * _unfloored(m, s) + floor / len(m)
    return out


def _unfloored(m: F64, s: F64) -> F64:
    certain = s == 0
    atom = m[certain].max(initial=-np.inf)
    p = np.zeros(len(m))
    tied = certain & (m == atom)
    if certain.all():
        p[tied] = 1 / tied.sum()
        return p
    mu, sigma = m[~certain], s[~certain]
    p[tied] = np.prod(ndtr((atom - mu) / sigma)) / max(tied.sum(), 1)
    start = max(atom, (mu - 8 * sigma).max())
    t = np.unique(np.append(mu[:, None] + sigma[:, None] * np.linspace(-8, 8, 321), start))
    z = (t[t >= start, None] - mu) / sigma
    with np.errstate(under="ignore"):
        below = ndtr(z)
        density = np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi) / sigma
        others = np.stack([np.delete(below, k, axis=1).prod(axis=1) for k in range(len(mu))], axis=1)
    p[~certain] = np.trapezoid(density * others, t[t >= start], axis=0)
    return p / p.sum()
