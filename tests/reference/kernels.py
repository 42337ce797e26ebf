"""The kernels once more, slow and obvious, in numpy and plain Python integers."""

import math

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

WORD = 2**64


def mix(z: int) -> int:
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % WORD
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % WORD
    return z ^ (z >> 31)


def uniform(key: int, index: int) -> float:
    z = mix((mix(key) + (index + 1) * 0x9E3779B97F4A7C15) % WORD)
    return ((z // 4096) + 0.5) / 2**52


def key_from_bytes(identifier: bytes) -> int:
    high, low = int.from_bytes(identifier[:8], "big"), int.from_bytes(identifier[8:], "big")
    return mix((low + mix((high + 0x9E3779B97F4A7C15) % WORD)) % WORD)


def draw(p: F64, u: float) -> int:
    possible = [k for k, share in enumerate(p) if share > 0]
    for k in possible:
        if u < sum(p[: k + 1]):
            return k
    return possible[-1] if possible else -1


def send_probability(value: float, sd: F64, price: float, margin: float, is_value_nonnegative: bool) -> float:
    if is_value_nonnegative and price <= 0:
        return 1 - margin
    distance = value - price
    z = distance / sd if sd > 0 else (math.copysign(math.inf, distance) if distance else 0.0)
    return float(np.clip(0.5 * (1 + math.erf(z / math.sqrt(2))), margin, 1 - margin))


def pack(full: F64) -> F64:
    return full[np.triu_indices(len(full))]
