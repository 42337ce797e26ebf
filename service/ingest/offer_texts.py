"""The texts of an offer: one spelling of them, and what each must be, told field by field."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final
from urllib.parse import urlsplit

from schema.problem import FieldError
from schema.wording import Words, spelled

CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
CONTROL_BUT_BREAKS: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_APP_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*")
# Schemes that run code, read files or leave the app unprotected; any other scheme with :// is some app's own.
_REFUSED_SCHEMES: Final = frozenset(
    {
        "about",
        "blob",
        "chrome",
        "content",
        "data",
        "file",
        "filesystem",
        "ftp",
        "http",
        "intent",
        "jar",
        "javascript",
        "resource",
        "vbscript",
        "view-source",
        "ws",
        "wss",
    }
)


def one_line(title: str) -> str:
    """A title without breaks and doubled white space."""
    return " ".join(title.split())


def unix_lines(body: str) -> str:
    """A body whose lines end as they do here."""
    return body.replace("\r\n", "\n").replace("\r", "\n").strip()


def localised(given: Mapping[str, Words]) -> dict[str, Words]:
    """Words by language in its one spelling; as they were if two are the same, which `problems` tells."""
    trimmed = {
        tag: Words(title=one_line(words.title), body=unix_lines(words.body), image_url=words.image_url)
        for tag, words in given.items()
    }
    by_language = {spelled(tag): words for tag, words in trimmed.items()}
    return by_language if len(by_language) == len(trimmed) else trimmed


def wrong(pointer: str, rule: str, code: str = "invalid") -> FieldError:
    """A rule that a field breaks; its detail begins with the field's name."""
    return FieldError(pointer=pointer, code=code, detail=f"{pointer.rsplit('/', 1)[-1]} {rule}")


def text_of(
    pointer: str, text: str, most: int, *, least: int = 0, unfit: re.Pattern[str] = CONTROL
) -> Iterator[FieldError]:
    """What is wrong with a text of `least` to `most` characters."""
    if len(text) < least:
        yield wrong(pointer, "must not be empty", "required")
    if len(text) > most:
        yield wrong(pointer, f"has {len(text)} characters; at most {most} are allowed", "too_long")
    if unfit.search(text):
        yield wrong(pointer, "holds a control character", "control_character")


def url_of(pointer: str, url: str | None, is_allowed: Callable[[str], bool], rule: str) -> Iterator[FieldError]:
    """What is wrong with an address, of which `rule` says which are allowed."""
    if url is None:
        return
    if not is_allowed(url):
        yield wrong(pointer, rule, "scheme_not_allowed")
    elif any(character.isspace() for character in url):
        yield wrong(pointer, "holds white space: write it as %20")
    yield from text_of(pointer, url, 2048)


def is_https(url: str) -> bool:
    """An https address with a host."""
    try:
        return url.startswith("https://") and bool(urlsplit(url).hostname)
    except ValueError:  # such as an unclosed bracket around an IPv6 address
        return False


def is_deep_link(url: str) -> bool:
    """An https address, or one of an app's own scheme."""
    scheme, separator, rest = url.partition("://")
    if scheme.lower() == "https":
        return is_https(f"https://{rest}")
    return bool(separator and rest and _APP_SCHEME.fullmatch(scheme.lower())) and scheme.lower() not in _REFUSED_SCHEMES


def words_of(tag: str, words: Words) -> Iterator[FieldError]:
    """What is wrong with an offer's words in one language."""
    at = f"/localised/{tag}"
    if spelled(tag) != tag:
        yield wrong(at, f"is another spelling of {spelled(tag)}, which is there too")
    yield from text_of(f"{at}/title", words.title, 120, least=1)
    yield from text_of(f"{at}/body", words.body, 400, unfit=CONTROL_BUT_BREAKS)
    yield from url_of(f"{at}/image_url", words.image_url, is_https, "must begin with https:// and a host")
