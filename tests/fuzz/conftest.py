"""`./scripts/fuzz` tries many random examples; the suite a few, in CI the same each time."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "fuzz", max_examples=3_000, print_blob=True, suppress_health_check=list(HealthCheck), derandomize=False
)
if os.environ.get("WELLTIMED_TEST_FUZZ"):
    settings.load_profile("fuzz")
