"""With NUMBA_DISABLE_JIT=1 the kernels are plain Python and give the same answers: for debuggers and coverage."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from bandits.kernels.packed import ARMS
from bandits.kernels.slate import draw_slate

ROOT = Path(__file__).parents[2]
PROGRAM = """
from bandits.kernels.slate import draw_slate
from bandits.kernels.warm import warm
from tests.unit.test_kernels_without_jit import drawn
assert type(draw_slate).__name__ == "function"
warm()
print(*drawn())
"""


def drawn() -> list[float]:
    """Two slots and their propensities."""
    value, tags = np.array([0.1, 0.2, 0.3, 0.2]), np.array([[0], [1], [1], [2]], np.int16)
    eta, chance, whitened = np.zeros((3, 1, ARMS), np.float32)
    eta[0, :4], chance[0, :4], whitened[0, :4] = [-2, -1.4, -0.8, -1.4], value, [0.1, 0.001, 0.2, 0.0]
    chosen, propensity, pmf = np.empty(2, np.int64), np.empty(2), np.empty((2, 4))
    scores = (value, whitened[None], eta, chance, np.ones(1), True, 2.0, 0.0)
    draw_slate(*scores, np.ones(4, bool), tags, 1, 2, 0.01, 42, chosen, propensity, pmf)
    return [*chosen, *propensity]


def test_the_kernels_run_as_plain_python() -> None:
    # Unsigned products that wrap around are meant; numpy scalars warn of them.
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore:overflow encountered:RuntimeWarning", "-c", PROGRAM],
        cwd=ROOT,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    plain, compiled = np.array(done.stdout.split(), float), drawn()
    assert plain[:2].tolist() == compiled[:2]
    assert np.allclose(plain[2:], compiled[2:], rtol=1e-4)
