"""A field that may hold a secret, and is planted in no test of canaries, is found here."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from typing import Any, Final, get_type_hints

import msgspec

import schema
from schema.base import Incoming
from service.settings import Secret, Settings
from tests.security.planted_fields import IN_A_BROUGHT_DATABASE, IN_A_SHOP, NOWHERE
from tests.security.test_reprs import holds_text

_NAMES: Final = re.compile("secret|token|password|passphrase|address|e_?mail|url")


def requests() -> Iterator[type[Any]]:
    """Every struct that comes in, and what it is made of."""
    for info in pkgutil.walk_packages(schema.__path__, "schema."):
        importlib.import_module(info.name)
    seen: set[type[Any]] = set()
    waiting: list[Any] = [Incoming]
    while waiting:
        record = waiting.pop()
        if record not in seen:
            seen.add(record)
            waiting += record.__subclasses__()
            waiting += [one for kind in get_type_hints(record).values() for one in structs_in(kind)]
    yield from (record for record in seen if record.__module__.startswith("schema."))


def structs_in(kind: Any) -> Iterator[type[Any]]:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield kind
    for part in getattr(kind, "__args__", ()):
        yield from structs_in(part)


def test_every_field_for_a_secret_is_planted_or_named() -> None:
    of_settings = {f"Settings.{name}" for name, kind in get_type_hints(Settings).items() if Secret in kinds_of(kind)}
    of_requests = {
        f"{record.__name__}.{name}"
        for record in requests()
        for name, kind in get_type_hints(record).items()
        if _NAMES.search(name) and holds_text(kind)
    }
    assert len(of_settings) >= 4
    assert of_settings | of_requests == IN_A_SHOP | IN_A_BROUGHT_DATABASE | NOWHERE.keys()


def kinds_of(kind: Any) -> tuple[Any, ...]:
    return (kind, *getattr(kind, "__args__", ()))
