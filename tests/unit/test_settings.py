"""A setting that cannot be used is refused by the name of its variable, before anything starts."""

from pathlib import Path

import pytest

from service.settings import LOG_LEVELS, SettingsError, describe, load

GOOD = {
    "PORT": ("0", "65535"),
    "STAND_IN_PORT": ("0", "65535"),
    "WORKERS": ("1", "64"),
    "POOL_MAX": ("2", "1000"),
    "INGEST_QUEUE_MAX": ("500", "10000000"),
    "FCM_MESSAGES_PER_MINUTE": ("60", "100000000"),
    "LOG_LEVEL": (*LOG_LEVELS, "INFO"),
    "HASTENED_CLOCK": ("", "2030-01-07T00:00:00Z 2026-11-22T12:00:00+01:00 204.5"),
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
    "HASTENED_CLOCK": (
        "60",
        "2030-01-07T00:00:00 2026-11-22T12:00:00Z 60",
        "2030-01-07T00:00:00Z 2026-11-22T12:00:00Z 0",
    ),
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in GOOD.items() for text in texts])
def test_what_lies_in_its_range_is_taken(name: str, text: str) -> None:
    loaded = load({f"WELLTIMED_{name}": text}, data_dir=Path("/nonexistent"))
    assert str(getattr(loaded, name.lower())) == text


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in BAD.items() for text in texts])
def test_what_cannot_be_used_is_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(SettingsError, match=f"WELLTIMED_{name}"):
        load({f"WELLTIMED_{name}": text}, data_dir=Path("/nonexistent"))


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"SMTP_URL": "http://mail.example"}, "SMTP_URL"),
        ({"SMTP_URL": "smtp://"}, "SMTP_URL"),
        ({"EMAIL_FROM": "offers"}, "EMAIL_FROM"),
        ({"EMAIL_FROM": "Shop <offers@shop.example>\r\nBcc: x@example.com"}, "EMAIL_FROM"),
        ({"EMAIL_FROM": None}, "EMAIL_FROM"),
        ({"PUBLIC_URL": "api.example.com"}, "PUBLIC_URL"),
        ({"PUBLIC_URL": "https://api.example.com/?x=1"}, "PUBLIC_URL"),
        ({"PUBLIC_URL": None}, "PUBLIC_URL"),
    ],
)
def test_e_mail_needs_a_server_a_sender_and_a_way_back(changed: dict[str, str | None], named: str) -> None:
    fit = {
        "SMTP_URL": "smtp://user:secret@mail.example:587",
        "EMAIL_FROM": "Shop <offers@shop.example>",
        "PUBLIC_URL": "https://api.example.com",
    }
    found = load({f"WELLTIMED_{name}": text for name, text in fit.items()})
    assert "secret" not in str(describe(found))
    given = {f"WELLTIMED_{name}": text for name, text in (fit | changed).items() if text is not None}
    with pytest.raises(SettingsError, match=f"WELLTIMED_{named}"):
        load(given)
