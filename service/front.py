"""What every request passes before any work is done for it: its client's rate, and whether it would be answered soon."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from service import early_answers, telemetry
from service.admission import Lane
from service.client_address import ClientAddresses
from service.connection import LANE
from service.early_answers import Refusal
from service.errors import ApiError, request_id, request_id_of
from service.rate_limits import RateLimits

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]

EVENTS_WAIT_S: Final = 1.0
"""Nobody looks at a screen until events are taken."""
OTHERS_WAIT_S: Final = 1.0
_ALWAYS: Final = frozenset({"/livez", "/readyz", "/metrics"})
"""Who watches over a worker must see it also when it is full."""

_UNKNOWN: Final = object()
_NO_LANE: Final = (None, None)
_SECRET: Final = b"Bearer sk_"


class Front:
    """The outermost layer of an API worker. A refusal is written before the body is read, let alone decoded."""

    def __init__(
        self,
        app: App,
        limits: RateLimits,
        addresses: ClientAddresses,
        knows: Callable[[str], bool],
        decisions_wait_s: float,
    ) -> None:
        """`knows` tells whether a secret is one of ours: those count by their key, all others by their address."""
        self._app = app
        self._limits = limits
        self._addresses = addresses
        self._knows = knows
        self._hot = {
            "/v1/decisions": Lane("decisions", decisions_wait_s),
            "/v1/events": Lane("events", EVENTS_WAIT_S),
        }
        self._lines = {
            f"POST {path} HTTP/1.1".encode(): (lane, Refusal(lane.refusal)) for path, lane in self._hot.items()
        }
        self._others = Lane("others", OTHERS_WAIT_S)
        self._warned = False

    def is_quiet(self) -> bool:
        """Whether nobody waits for an answer."""
        return not any(lane.in_flight for lane in (*self._hot.values(), self._others))

    def tell(self) -> None:
        """Tells how many were refused since the last time; to be called often."""
        for lane in (*self._hot.values(), self._others):
            lane.tell()

    def enter(self, method: str, path: str, headers: Sequence[tuple[bytes, bytes]], peer: str) -> Lane | None:
        """Lets a request in, for which the lane is to be left again; None for one that takes no place in any.

        Raises:
            ApiError: 429 when its client asks too often, 503 when it would not be answered soon.
        """
        if path in _ALWAYS:
            return None
        self._check_rate(headers, peer)
        lane = self._hot.get(path, self._others) if method == "POST" else self._others
        lane.enter()
        return lane

    def turn_away(self, data: bytes) -> bytes | None:
        """The refusal of a whole request to a lane that is full; None for anything else, which has to be read with care."""
        lane, refusal = self._lines.get(data[: data.find(b"\r\n")], _NO_LANE)
        if lane is None or refusal is None or not lane.is_full:
            return None
        whole = early_answers.whole(data)
        if whole is None:
            return None
        lane.count_refused()
        return refusal.of(request_id(whole.request_id))

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Raises nothing of its own: refusals are answers."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        lane = scope["state"].get(LANE, _UNKNOWN)
        if lane is _UNKNOWN:  # its connection has not asked
            try:
                lane = self.enter(scope["method"], scope["path"], scope["headers"], _peer_of(scope))
            except ApiError as error:
                await _refuse(error, scope, send)
                return
        if lane is None:
            await self._app(scope, receive, send)
            return

        async def received() -> Any:
            lane.step_out()  # else clients that send half a body would fill it
            try:
                return await receive()
            finally:
                lane.step_in()

        try:
            await self._app(scope, received, send)
        finally:
            lane.leave()

    def _check_rate(self, headers: Sequence[tuple[bytes, bytes]], peer: str) -> None:
        sent = dict(headers)
        authorization = sent.get(b"authorization")
        if (
            authorization is not None
            and authorization.startswith(_SECRET)
            and self._knows(authorization[7:].decode("latin-1"))
        ):
            return  # counted by its key, once it is known what the key may do
        forwarded = None
        if b"x-forwarded-for" in sent:  # perhaps more than once
            forwarded = b",".join([value for name, value in headers if name == b"x-forwarded-for"])
        try:
            self._limits.check_address(self._addresses.client_of(peer, forwarded))
        except ApiError:
            if forwarded is not None:
                self._warn_of_proxy(peer)
            raise

    def _warn_of_proxy(self, peer: str) -> None:
        if not self._warned and not self._addresses.is_trusted(peer):
            self._warned = True
            telemetry.logger("http").warning(
                "one address asks too often and sends X-Forwarded-For: if it is a proxy of yours, name it in WELLTIMED_TRUSTED_PROXIES",
                peer=peer,
            )


def _peer_of(scope: Any) -> str:
    return str(scope["client"][0]) if scope["client"] else ""


async def _refuse(error: ApiError, scope: Any, send: Send) -> None:
    headers, body = early_answers.parts_of(error, request_id_of(scope))
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
