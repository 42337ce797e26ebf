"""With NUMBA_DISABLE_JIT=1 the kernels are plain Python and give the same answers: for debuggers and coverage."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from bandits.kernels.slate import draw_slate

ROOT = Path(__file__).parents[2]
PROGRAM = """
import numpy as np
from bandits.kernels.slate import draw_slate
from bandits.kernels.warm import warm
assert type(draw_slate).__name__ == "function"
warm()
chosen, propensity, pmf = np.empty(2, np.int64), np.empty(2), np.empty((2, 4))
draw_slate(np.array([0.1, 0.2, 0.3, 0.2]), np.array([0.1, 0.001, 0.2, 0.0]), np.ones(4, bool), 2, 0.01, 42, chosen, propensity, pmf)
print(*chosen, *propensity)
"""


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
    chosen, propensity, pmf = np.empty(2, np.int64), np.empty(2), np.empty((2, 4))
    draw_slate(
        np.array([0.1, 0.2, 0.3, 0.2]),
        np.array([0.1, 0.001, 0.2, 0.0]),
        np.ones(4, bool),
        2,
        0.01,
        42,
        chosen,
        propensity,
        pmf,
    )
    plain = np.array(done.stdout.split(), float)
    assert plain[:2].tolist() == chosen.tolist()
    assert np.allclose(plain[2:], propensity, rtol=1e-4)
