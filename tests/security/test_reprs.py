"""A struct that holds a secret may come into a log, an error or a traceback: nowhere does it show it."""

import dataclasses
import importlib
import pkgutil
import re
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal, get_args, get_origin, get_type_hints

import msgspec
import pytest

from schema.discreet import shown_without
from service.settings import Secret

CANARY: Final = "canary-0b5c2f9d41"
_NAMES: Final = re.compile("secret|token|password|passphrase|key|credential|address|unsubscribe")
_ALSO: Final = {
    "push.channels.webhooks.endpoints.Endpoint.url",
    "push.channels.webhooks.endpoints.Signed.url",
    "schema.webhook.NewWebhook.url",
    "schema.webhook.Webhook.url",
    "schema.webhook.WebhookPatch.url",
}
"""Where others put a token into a URL."""

SHOWN: Final = {
    "push.channels.webhooks.address.Target.addresses": "of hosts, not of people",
    "push.fcm.message._Look.keys": "names of what an app is handed",
    "push.sending.claim.ReadyRow.address_kind": "token or fid",
    "push.stand_in.faults.Fault.token": "the stand-in's own phones, which its pages show",
    "push.stand_in.inbox.Entry.address": "as above",
    "push.stand_in.verdict.SentMessage.token": "as above",
    "schema.access.IdentityKey.public_key": "public",
    "schema.access.ShownIdentityKey.public_key": "public",
    "service.demo.api.Received.address": "the stand-in's own phones",
    "service.store.idempotency.Attempt.idempotency_key": "the client's word for a request; it lets nothing be done",
}
"""Fields that sound like a secret and are none, and why."""


def records() -> Iterator[type[Any]]:
    """Every struct, named tuple and dataclass of ours."""
    for package in map(importlib.import_module, ("schema", "service", "push")):
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            for found in vars(importlib.import_module(info.name)).values():
                is_ours = isinstance(found, type) and found.__module__ == info.name
                if is_ours and (issubclass(found, msgspec.Struct | tuple) or dataclasses.is_dataclass(found)):
                    yield found


def holds_text(kind: Any) -> bool:
    """Whether a value of this type may be, or hold, a text or bytes of which nothing else takes care."""
    if any(kind is one for one in (str, bytes, Any, object)):
        return True
    if get_origin(kind) is Annotated:
        return holds_text(get_args(kind)[0])
    return get_origin(kind) is not Literal and any(map(holds_text, get_args(kind)))


def suspects() -> Iterator[tuple[type[Any], str]]:
    for record in records():
        for name, kind in get_type_hints(record).items():
            place = f"{record.__module__}.{record.__qualname__}.{name}"
            if place in _ALSO or (_NAMES.search(name) and holds_text(kind)):
                yield record, name


def planted(record: type[Any], field: str) -> Any:
    """One of these with the canary in a field, and nothing in the others."""
    made = object.__new__(record) if dataclasses.is_dataclass(record) else None
    values = {name: CANARY if name == field else None for name in get_type_hints(record)}
    if made is None:
        return record(**values)
    for name, value in values.items():
        object.__setattr__(made, name, value)
    return made


def test_no_struct_shows_a_secret() -> None:
    found = {f"{record.__module__}.{record.__qualname__}.{name}": planted(record, name) for record, name in suspects()}
    shows = {place for place, made in found.items() if CANARY in f"{made!r} {made!s} {[made]}"}
    assert shows == set(SHOWN)
    assert found.keys() > {
        "push.channels.mail.channel.Server.password",
        "push.channels.webhooks.endpoints.Signed.old_secret",
        "schema.access.IdentityKey.secret",
        "service.planning.drafter.Desk.key",
        *_ALSO,
    }


def test_what_is_no_secret_is_shown_and_none_is_told_from_one() -> None:
    class Held(msgspec.Struct):
        name: str
        secret: str | None

        def __repr__(self) -> str:
            return shown_without(self, "secret")

    assert repr(Held("a", CANARY)).endswith("Held(name='a', secret='***')")
    assert repr([Held("a", None)]).endswith("Held(name='a', secret=None)]")


@pytest.mark.parametrize("shown", [repr, str, "{}".format, lambda secret: f"{[secret]} {secret}"])
def test_a_secret_setting_shows_itself_nowhere(shown: Any) -> None:
    assert CANARY not in shown(Secret(CANARY))
