"""One connection: how long it may take to say what it wants, who serves it, and how it ends."""

from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any, Final, Protocol, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service import early_answers, telemetry
from service.connections import LOOK_EVERY_S, Connections
from service.early_answers import HEAD_BYTES_MAX
from service.errors import ApiError, request_id_of
from service.hot_request import HotRequest

REQUEST_S: Final = 10.0
"""How long a request may take to arrive, from its first byte (of a new connection: from the handshake) to its last."""
BODY_BYTES_PER_S_MIN: Final = 4_096
"""A body has longer by what has come of it at this rate, and never longer than REQUEST_S from now: who sends steadily over a bad line
is not cut off, who stops is."""
ANSWER_STALLED_S: Final = 10.0
"""How long a client may take nothing of an answer that does not fit into the socket."""
ASIDE_BYTES_MAX: Final = 64 * 1024
"""Of what a connection has read and not yet served; beyond it nothing more is read from it."""
LANE: Final = "lane"

Enter = Callable[[str, str, Sequence[tuple[bytes, bytes]], str], Any]
"""Lets a request in by method, path, headers and peer; what it gives goes into the scope's state as LANE. Raises ApiError to refuse."""

TurnAway = Callable[[bytes], bytes | None]
"""The refusal of bytes that have come at a connection where nothing is under way; None where they are to be parsed."""


def _nobody(_: bytes) -> None:
    """Turns nobody away."""


class Hot(Protocol):
    """Serves some requests without an application."""

    def takes(self, target: bytes, headers: Mapping[bytes, bytes]) -> bool: ...

    def serve(self, request: HotRequest) -> None: ...


class Connection(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 with deadlines; it has none of its own but for idle connections."""

    cycle: Any
    """What is being answered: uvicorn's, or what stands in its place."""

    def __init__(
        self,
        connections: Connections,
        enter: Enter,
        hot: Hot | None = None,
        turn_away: TurnAway = _nobody,
        **given: Any,
    ) -> None:
        """What `hot` takes is served by it, everything else by uvicorn's application; what `turn_away` answers, by nobody."""
        super().__init__(**given)
        self._connections = connections
        self._enter = enter
        self._hot = hot
        self._turn_away = turn_away
        self._address = ""
        self._aside = b""
        """What has come and is served in a later turn."""
        self._waits_since: float | None = None
        """Since when a request is arriving, or on a new connection nothing; None when the last one is here whole."""
        self._arrived_bytes = 0
        self._seen_bytes = 0
        """Of those, what had come when it was last looked at."""
        self._is_in_body = False
        self._held_bytes = 0
        """Of a body on its way."""
        self._beside_body_bytes = 0
        """What came since the last piece of a body: the header of a chunk, or what follows the last one."""
        self._has_asked = False
        self._idle_since: float | None = None
        """Since when it has been seen that nothing is asked on it."""
        self._unsent_bytes = 0
        self._stalled_since: float | None = None

    def connection_made(self, transport: Any) -> None:
        """Refuses it at once when there are too many."""
        super().connection_made(transport)
        self._address = self.client[0] if self.client else ""
        self._waits_since = monotonic()
        if not self._connections.take(self, self._address):
            self._end(early_answers.TOO_MANY)

    def connection_lost(self, exc: Exception | None) -> None:
        """Gives its place free."""
        self._connections.drop(self, self._address)
        if isinstance(self.cycle, HotRequest):
            self.cycle.drop()
        self._let_go()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Served at once, or under a flood in a later turn of the loop."""
        if (
            self._aside
        ):  # to stop reading would cost as much as a refusal; most send nothing more before they are answered
            self._aside += data
            if len(self._aside) > ASIDE_BYTES_MAX:
                self.transport.pause_reading()
        elif self._connections.turns.take(self):
            self._serve(data)
        else:
            self._aside = data

    def serve_late(self) -> None:
        """What was not served when it came."""
        data, self._aside = self._aside, b""
        if self.transport.is_closing():
            return
        if len(data) > ASIDE_BYTES_MAX and not self.flow.read_paused:
            self.transport.resume_reading()
        self._serve(data)

    def _serve(self, data: bytes) -> None:
        """Parses; a head that does not end is refused, and so are trailers that do not."""
        self._idle_since = None
        if self._turned_away(data):
            return
        if self._waits_since is None:  # also for bytes that the parser skips, such as empty lines before a request
            self._begin_to_wait()
        self._arrived_bytes += len(data)
        self._beside_body_bytes += len(data)
        super().data_received(data)
        head_bytes = self._beside_body_bytes if self._is_in_body else self._arrived_bytes
        if head_bytes > HEAD_BYTES_MAX and self._waits_since is not None:
            telemetry.REFUSED.labels("head_too_large").inc()
            self._end(early_answers.HEAD_TOO_LARGE)

    def on_message_begin(self) -> None:
        """A request begins, perhaps in the same bytes in which another one ended."""
        if self._waits_since is None:
            self._begin_to_wait()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is here; of a worker that stops this request is the last on its connection."""
        self._is_in_body = self._has_asked = True
        self._beside_body_bytes = 0
        if not self._is_answering():  # else its turn has not come, and the application asks when it has
            method, path = self.parser.get_method().decode("latin-1"), self.url.partition(b"?")[0].decode("latin-1")
            try:
                lane = self._enter(method, path, self.headers, self._address)
            except ApiError as error:
                self._refuse(error, has_body=method != "HEAD")
                return
            if self._hot is None or method != "POST" or not self._begin_hot(self._hot, lane):
                self._begin_in(lane)
        else:
            super().on_headers_complete()
        if self._connections.is_stopping:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """A piece of the body is here; how large one may be is the application's business, and what is answered already is passed over."""
        self._beside_body_bytes = 0
        request = self.cycle
        is_hot = isinstance(request, HotRequest)
        if request.response_complete:
            self._let_go()
        elif is_hot and request.is_whole_with(body):  # as nearly always: it is on its way no longer
            request.add(body)
        elif not self._hold(len(body)):
            self._end(early_answers.TOO_MANY_BODIES)
            self._drop(request)
        elif is_hot:
            request.add(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is here whole."""
        self._waits_since = None
        self._is_in_body = False
        self._let_go()
        request = self.cycle
        if isinstance(request, HotRequest) and request.more_body:
            request.complete()
            cast("Hot", self._hot).serve(request)
        else:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """An answer is sent; `look` finds out that nothing is asked any more: a timer for each answer costs a tenth of a refusal."""
        if self.pipeline or self.transport.is_closing():
            super().on_response_complete()
        else:
            self.server_state.total_requests += 1
            self.flow.resume_reading()

    def look(self, now: float) -> None:
        """Closes it when its client has taken too long to ask, or takes nothing of the answer."""
        if self._is_stalled(now):
            telemetry.REFUSED.labels("slow_reader").inc()
            self.transport.abort()
        elif self.transport.is_closing():
            return
        elif self._waits_since is not None:
            self._look_at_request(now, self._waits_since)
        elif self._is_answering() or self._idle_since is None:
            self._idle_since = now
        elif now - self._idle_since > self.timeout_keep_alive:
            self.transport.close()

    def close_after_answer(self) -> None:
        """What is being answered is answered, and then it closes."""
        if self._is_answering():
            self.cycle.keep_alive = False

    def close_unfinished(self) -> None:
        """Closes it when a part of a request is here and nothing is being answered but that."""
        if self._is_in_body or not self._is_answering():
            self.transport.close()

    def _turned_away(self, data: bytes) -> bool:
        """Answers what would be refused anyway before it is parsed: under a flood whoever reads and refuses does nothing else."""
        is_under_way = self._waits_since is not None and self._arrived_bytes > 0
        if is_under_way or self._is_answering() or self.flow.write_paused or self._connections.is_stopping:
            return False
        if self.transport.is_closing() or (answer := self._turn_away(data)) is None:
            return False
        self._waits_since = None
        self._connections.turns.count_refusal(self.loop)
        self.transport.write(answer)
        self.on_response_complete()
        return True

    def _begin_hot(self, hot: Hot, lane: Any) -> bool:
        """Whether the request is one of those; a client that does not take its answers waits for them as with any application."""
        headers = dict(self.headers)
        if not hot.takes(self.url, headers) or self.parser.should_upgrade() or self.flow.write_paused:
            return False
        keep_alive = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
        self.cycle = HotRequest(self, self.url, headers, lane, keep_alive=keep_alive)
        return True

    def _hold(self, count: int) -> bool:
        """Whether there is room for a piece of a body; a request that waits for the one before is bounded by that nothing more is read."""
        if self.pipeline:
            return True
        if not self._connections.hold(count, self._address):
            return False
        self._held_bytes += count
        return True

    def _drop(self, request: Any) -> None:
        """Nobody reads on: an application is told that its client has gone, lest it takes what has come for all."""
        if isinstance(request, HotRequest):
            request.drop()
        else:
            request.disconnected = True
            request.message_event.set()
        self.cycle = early_answers.Refused()

    def _let_go(self) -> None:
        if self._held_bytes:  # of few requests: most bodies come in one piece
            held, self._held_bytes = self._held_bytes, 0
            self._connections.release(held, self._address)

    def _begin_in(self, lane: Any) -> None:
        """Hands the request to the application, which leaves the lane; a target that cannot be read gets to no application."""
        self.scope["state"][LANE] = lane
        try:
            super().on_headers_complete()
        except Exception:
            if lane is not None:
                lane.leave()
            raise

    def _refuse(self, error: ApiError, *, has_body: bool) -> None:
        """Answers before any work is begun: a fifth of what a task for it would cost."""
        self._connections.turns.count_refusal(self.loop)
        closes = self._connections.is_stopping or not self.parser.should_keep_alive()
        answer = early_answers.of(error, request_id_of(self.scope), closes=closes)
        self.transport.write(answer if has_body else answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
        self.cycle = early_answers.Refused()
        if closes:
            self.transport.close()
        self.on_response_complete()

    def _begin_to_wait(self) -> None:
        self._waits_since = monotonic()
        self._arrived_bytes = self._seen_bytes = 0

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _look_at_request(self, now: float, since: float) -> None:
        if self.flow.read_paused:  # we are the slow ones
            self._waits_since = now
            return
        if self._is_in_body:
            came, self._seen_bytes = self._arrived_bytes - self._seen_bytes, self._arrived_bytes
            latest = now - LOOK_EVERY_S  # when the last of it may have come
            since = self._waits_since = max(since, min(since + came / BODY_BYTES_PER_S_MIN, latest))
        if now - since <= REQUEST_S:
            return
        if self._is_answering() and not self._is_in_body:  # the one before
            self.cycle.keep_alive = False
            return
        telemetry.REFUSED.labels("slow_request").inc()
        self._end(early_answers.TOO_SLOW if self._has_asked or self._arrived_bytes else b"")

    def _is_stalled(self, now: float) -> bool:
        """Whether nothing of what is to be sent has left for too long."""
        unsent = self.transport.get_write_buffer_size()
        if unsent == 0 or unsent < self._unsent_bytes:
            self._stalled_since = None
        elif self._stalled_since is None:
            self._stalled_since = now
        self._unsent_bytes = unsent
        return self._stalled_since is not None and now - self._stalled_since > ANSWER_STALLED_S

    def _end(self, answer: bytes) -> None:
        """Says why, where nothing of another answer would be cut in two, and closes."""
        is_next = not self._is_answering() if not self._is_in_body else not self.cycle.response_started
        if answer and is_next and not self.pipeline:
            self.transport.write(answer)
        self.transport.close()
