"""Counter-based uniforms: a key and an index give a number, with no state between them.

The same (key, index) gives the same number on every machine, which is what makes a decision replayable. The generator
is splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014) read at an arbitrary place
of its sequence; the key is scrambled first, so that neighbouring keys do not share a shifted sequence.

A decision's slate uses the indices 0, 1, ... of its slots; other draws of the same decision take indices from
`FIRST_FREE_INDEX` on.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandits.kernels.compile import f64, kernel, u64

u = np.uint64
FIRST_FREE_INDEX: Final = 1 << 32
GOLDEN: Final = 0x9E3779B97F4A7C15
MIX_1: Final = 0xBF58476D1CE4E5B9
MIX_2: Final = 0x94D049BB133111EB
WORD: Final = (1 << 64) - 1


@kernel()
def mix(z: np.uint64) -> np.uint64:
    """The finaliser of splitmix64: a bijection of 64 bits in which each input bit moves every output bit."""
    z = (z ^ (z >> u(30))) * u(MIX_1)
    z = (z ^ (z >> u(27))) * u(MIX_2)
    return z ^ (z >> u(31))


@kernel(f64(u64, u64))
def uniform(key: int, index: int) -> float:
    """A uniform number strictly between 0 and 1, a multiple of 2^-53.

    Args:
        key: of the decision, 64 bits, see `key_from_bytes`.
        index: which number of that key, 64 bits.
    """
    z = mix(mix(u(key)) + (u(index) + u(1)) * u(GOLDEN))
    # 52 bits and a half: with 53 the largest would round up to 1.
    return (float(z >> u(12)) + 0.5) * 2.220446049250313e-16


def key_from_bytes(identifier: bytes) -> int:
    """The 64-bit key of a 16-byte identifier such as a decision's UUID: mix(low + mix(high)), big-endian halves.

    For a given high half (the time in a UUIDv7) distinct low halves give distinct keys. Plain Python, once a decision.

    Raises:
        ValueError: the identifier is not 16 bytes long.
    """
    if len(identifier) != 16:
        raise ValueError(f"an identifier of 16 bytes is needed, got {len(identifier)}")
    high, low = int.from_bytes(identifier[:8], "big"), int.from_bytes(identifier[8:], "big")
    return _mix_integer((low + _mix_integer((high + GOLDEN) & WORD)) & WORD)


def keys_from_bytes(identifiers: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """`key_from_bytes` of each of (n, 16) bytes."""
    high, low = np.ascontiguousarray(identifiers).view(">u8").astype(np.uint64).T
    return _mix_integers(low + _mix_integers(high + u(GOLDEN)))


def _mix_integers(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = (z ^ (z >> u(30))) * u(MIX_1)
    z = (z ^ (z >> u(27))) * u(MIX_2)
    return z ^ (z >> u(31))


def _mix_integer(z: int) -> int:
    z = ((z ^ (z >> 30)) * MIX_1) & WORD
    z = ((z ^ (z >> 27)) * MIX_2) & WORD
    return z ^ (z >> 31)
