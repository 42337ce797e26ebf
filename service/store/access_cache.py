"""Who may come in, in memory: every API worker reads keys and identity settings at most every two seconds."""

import asyncio
import time
from typing import Any, Final

from schema.access import IdentityMode, IdentitySettings
from service.errors import ApiError
from service.rate_limits import UNLIMITED, RateLimits
from service.store import access
from service.store.access import ActiveKey, digest_of
from service.store.pool import LOST
from service.store.user_tokens import UserTokens
from service.telemetry import logger

REFRESH_S: Final = 2.0
"""A revoked key works at most this long."""
AHEAD_S: Final = 1.0
"""Before the end of that somebody who calls has them read again, and does not wait for it: nobody waits while somebody calls each second."""
ON_DEMAND_S: Final = 0.1
"""How often unknown secrets may make us look again: random ones then cost ten small queries a second, not one each."""
OUTAGE_S: Final = 600.0
"""How old the last reading may be while PostgreSQL does not answer."""
READ_TIMEOUT_S: Final = 1.0
START_TIMEOUT_S: Final = 30.0
"""At start no request waits, and a busy disk is no reason to end."""
UNKNOWN_MAX: Final = 4096

_LOG: Final = logger("access")


class AccessCache:
    """Keys by the SHA-256 of their secret, and the identity settings. One a worker; `load` once before the first request, `close` after the last."""

    def __init__(self, pool: Any, limits: RateLimits = UNLIMITED) -> None:
        self._pool = pool
        self.limits = limits
        self._keys: dict[bytes, ActiveKey] = {}
        self._by_secret: dict[str, ActiveKey] = {}  # those that have called
        self._unknown: set[bytes] = set()
        self._settings = IdentitySettings(mode="required")
        self._tokens = UserTokens([])
        self._read_at = float("-inf")
        self._tried_at = float("-inf")
        self._due_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()

    @property
    def identity_mode(self) -> IdentityMode:
        """What a publishable key needs to speak for a user, as last read."""
        return self._settings.mode

    def knows(self, secret: str) -> bool:
        """Whether a secret was one of a key when keys were last read."""
        return secret in self._by_secret or digest_of(secret) in self._keys

    async def load(self) -> None:
        """Reads everything now, at start."""
        async with self._lock:
            await self._read(START_TIMEOUT_S)

    async def close(self) -> None:
        """Ends a reading that nobody waits for."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])

    async def reload(self) -> None:
        """Reads everything after this worker has changed it; if that fails the change stands, and the next request reads."""
        async with self._lock:
            try:
                await self._read(READ_TIMEOUT_S)
            except LOST as error:
                self._due_at = float("-inf")
                _report(error)

    def known(self, secret: str) -> ActiveKey | None:
        """The key of a secret that has called before; None when `key_of` has to be asked."""
        left_s = self._due_at - time.monotonic()
        if left_s <= 0:
            return None
        if left_s < AHEAD_S and (self._reading is None or self._reading.done()):
            self._reading = asyncio.create_task(self._read_ahead(self._due_at), name="keys")
        return self._by_secret.get(secret)

    async def key_of(self, secret: str) -> ActiveKey | None:
        """The key of a secret; None for one that is unknown or revoked. Raises ApiError 503 when nobody can tell."""
        if time.monotonic() >= self._due_at:
            await self._renew()
        key = self._by_secret.get(secret)
        if key is not None:
            return key
        digest = digest_of(secret)
        key = self._keys.get(digest)
        if key is not None:
            self._by_secret[secret] = key
        if key is not None or digest in self._unknown:
            return key
        # Another worker may have made it a moment ago.
        if not await self._refresh():
            raise _unavailable()
        key = self._keys.get(digest)
        if key is None:
            self._remember_unknown(digest)
        return key

    def user_of(self, token: str) -> str:
        """The user id of a user token. Raises InvalidUserToken."""
        return self._tokens.subject_of(token)

    def _remember_unknown(self, digest: bytes) -> None:
        if len(self._unknown) >= UNKNOWN_MAX:
            self._unknown.clear()
        self._unknown.add(digest)

    async def _renew(self) -> None:
        """One reading for all who find that it is due."""
        async with self._lock:
            if time.monotonic() >= self._due_at:
                await self._try()

    async def _read_ahead(self, due_at: float) -> None:
        async with self._lock:
            if self._due_at == due_at:
                await self._try()

    async def _refresh(self) -> bool:
        """A reading that begins after this, one for all who ask at once; False when it failed."""
        asked_at = time.monotonic()
        async with self._lock:
            if self._tried_at < asked_at:
                await asyncio.sleep(self._tried_at + ON_DEMAND_S - asked_at)
                await self._try()
            return self._read_at >= asked_at

    async def _try(self) -> None:
        """When it fails what was read before stands for a while longer, but never longer than OUTAGE_S: then nobody is known."""
        self._tried_at = time.monotonic()
        try:
            await self._read(READ_TIMEOUT_S)
        except LOST as error:
            self._due_at = time.monotonic() + REFRESH_S
            if time.monotonic() - self._read_at > OUTAGE_S:
                self._keys, self._by_secret = {}, {}
            _report(error)

    async def _read(self, timeout_s: float) -> None:
        started_at = time.monotonic()
        async with asyncio.timeout(timeout_s), self._pool.acquire() as connection:
            keys = await access.active_keys(connection)
            settings = await access.read_identity(connection)
        if settings != self._settings:
            self._tokens = UserTokens(settings.keys)
            self._settings = settings
        self._keys = keys
        active = {key.key_id: key for key in keys.values()}
        self._by_secret = {
            secret: active[key.key_id] for secret, key in self._by_secret.items() if key.key_id in active
        }
        self._unknown.clear()
        self._read_at = started_at
        self._due_at = started_at + REFRESH_S


def _report(error: BaseException) -> None:
    _LOG.warning("keys cannot be read", error=type(error).__qualname__)


def _unavailable() -> ApiError:
    return ApiError(503, "unavailable", "Keys cannot be checked at the moment; try again.", retry_after_s=1)
