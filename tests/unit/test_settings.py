"""Settings that would leave the program standing still are refused at start, in words that name the variable."""

import pytest

from service import settings
from service.settings import SettingsError


@pytest.mark.parametrize(("variable", "least"), [("WELLTIMED_POOL_MAX", 2), ("WELLTIMED_INGEST_QUEUE_MAX", 500)])
def test_what_is_too_small_to_work_with_is_refused(variable: str, least: int) -> None:
    with pytest.raises(SettingsError, match=f"{variable} must be {least} or more"):
        settings.load({variable: str(least - 1)})
    settings.load({variable: str(least)})
