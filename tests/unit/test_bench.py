"""`welltimed bench kernel` measures the kernels a decision calls."""

import json

from click.testing import CliRunner

from service.cli import main


def test_the_kernels_are_timed() -> None:
    result = CliRunner().invoke(main, ["bench", "kernel", "--offers", "3", "--dims", "4", "--json"])
    assert result.exit_code == 0, result.output
    figures = json.loads(result.output)
    assert set(figures) == {
        *("decide_us", "update_us", "pmf_us", "scores_us", "batch_users_per_s"),
        *("batch_all_cores_users_per_s", "batch_ms", "batch_cores", "gemm_gflops", "batch_percent_of_gemm"),
    }
    assert all(value > 0 for value in figures.values())
