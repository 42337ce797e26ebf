"""Words in several languages, and the names of languages."""

from collections.abc import Iterator
from typing import Annotated, Final

from msgspec import Meta

from schema.base import Kept

LANGUAGES_MAX: Final = 50
DEFAULT: Final = "default"

LanguageTag = Annotated[str, Meta(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$(?!\n)", max_length=35)]
"""A language with or without a region, by BCP 47: de, de-AT, zh-Hant-TW."""

TemplateKey = Annotated[str, Meta(pattern=r"^(default|[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*)$(?!\n)", max_length=35)]
"""A language tag, or `default`."""


class Words(Kept, frozen=True, forbid_unknown_fields=True):
    """What a person reads; without an image of its own that of the offer is shown."""

    title: Annotated[str, Meta(min_length=1, max_length=120)]
    body: Annotated[str, Meta(max_length=400)] = ""
    image_url: Annotated[str, Meta(max_length=2048, pattern=r"^https://")] | None = None


def spelled(tag: str) -> str:
    """The one spelling of a language tag, whether an app wrote de_at or DE-at: de-AT, zh-Hant-TW."""
    first, *rest = tag.replace("_", "-").split("-")
    return "-".join([first.lower(), *(_part(part) for part in rest)])


def chain(locale: str | None) -> Iterator[str]:
    """The tags whose words suit somebody of this locale, the closest first: de-AT, de."""
    parts = spelled(locale).split("-") if locale else []
    for count in range(len(parts), 0, -1):
        yield "-".join(parts[:count])


def _part(part: str) -> str:
    if len(part) == 2:
        return part.upper()
    return part.title() if len(part) == 4 else part.lower()
