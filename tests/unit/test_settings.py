"""A setting that cannot be used is refused by the name of its variable, before anything starts."""

from pathlib import Path

import pytest

from service.settings import LOG_LEVELS, SettingsError, load

GOOD = {
    "PORT": ("0", "65535"),
    "STAND_IN_PORT": ("0", "65535"),
    "WORKERS": ("1", "64"),
    "POOL_MAX": ("2", "1000"),
    "INGEST_QUEUE_MAX": ("500", "10000000"),
    "FCM_MESSAGES_PER_MINUTE": ("60", "100000000"),
    "LOG_LEVEL": (*LOG_LEVELS, "INFO"),
}
BAD = {
    "PORT": ("-1", "65536", "http", ""),
    "STAND_IN_PORT": ("-1", "99999"),
    "WORKERS": ("0", "65", "1.5"),
    "POOL_MAX": ("0", "1", "1001"),
    "INGEST_QUEUE_MAX": ("-5", "499", "10000001"),
    "FCM_MESSAGES_PER_MINUTE": ("59", "many"),
    "LOG_LEVEL": ("loud", "", "10"),
    "BOOTSTRAP_KEY": ("pk_" + "x" * 30, "sk_short"),
    "LOGLEVEL": ("info",),
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in GOOD.items() for text in texts])
def test_what_lies_in_its_range_is_taken(name: str, text: str) -> None:
    loaded = load({f"WELLTIMED_{name}": text}, data_dir=Path("/nonexistent"))
    assert str(getattr(loaded, name.lower())) == text


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in BAD.items() for text in texts])
def test_what_cannot_be_used_is_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=f"WELLTIMED_{name}"):
        load({f"WELLTIMED_{name}": text}, data_dir=Path("/nonexistent"))
