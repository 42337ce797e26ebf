"""`welltimed demo`: the whole loop for real, on a year of real groceries."""

import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from typing import Any, Final, NamedTuple

import xxhash
from rich.console import Console

from service.demo import data_dir, groceries, progress, references, report, results, scoring, server, world
from service.demo.api import Api
from service.demo.board import Board, ExplainedPush
from service.demo.connection import ApiRefused
from service.demo.groceries import Baskets, GroceriesMissing
from service.demo.local_week import WEEKS_MAX
from service.demo.replay import CAMPAIGN, Replay
from service.demo.results import Results, Traffic
from service.demo.scoring import Pushes
from service.demo.server import Server, ServerFailed

HOUSEHOLDS_MAX: Final = 2469

_SUPERVISED: Final = "supervised"

Choosing = Callable[[Pushes], Pushes]
"""From the engine's pushes to those of a reference at the same moments."""

_FAILURES: Final = (ApiRefused, GroceriesMissing, OSError, ServerFailed)


class Options(NamedTuple):
    """What to replay: 1 to HOUSEHOLDS_MAX households, 1 to WEEKS_MAX weeks; the salt chooses the households and seeds everything."""

    households: int = 500
    weeks: int = 20
    salt: str = "0"
    is_headless: bool = False
    is_json: bool = False


def demo(options: Options) -> int:
    """Runs the demo; the exit code. Progress goes to standard error, with is_json nothing but one object to standard output.

    Unless is_headless it goes on serving until it is interrupted.
    """
    if not (1 <= options.households <= HOUSEHOLDS_MAX and 1 <= options.weeks <= WEEKS_MAX):
        _say(f"welltimed demo: 1 to {HOUSEHOLDS_MAX} households and 1 to {WEEKS_MAX} weeks")
        return 2
    try:
        with _ending_in_order():
            _demo(options)
    except KeyboardInterrupt:
        return 130
    except _FAILURES as error:
        _say(f"welltimed demo: {error}")
        return 1
    return 0


def _demo(options: Options) -> None:
    seed = xxhash.xxh3_64_intdigest(options.salt.encode())
    with ThreadPoolExecutor(1) as aside, data_dir.fresh() as place:
        year = aside.submit(groceries.load)  # while the server starts
        laid_out = aside.submit(_board, year, options, seed)
        taught = aside.submit(_taught, year, laid_out)
        with server.running(place, options.salt) as running:
            board = laid_out.result()
            with _report(board, options):
                _run(board, taught, running, options, seed)


def _run(board: Board, taught: Future[Choosing], running: Server, options: Options, seed: int) -> None:
    with closing(Api(running.addresses.url, running.addresses.stand_in_url, running.key)) as api:
        _replay(Replay(board.world, api, board), board)
        board.explained = explained(board, api)
        board.decisions = api.outcomes(CAMPAIGN).decisions
    supervised = taught.result()(board.engine)
    board.references |= {_SUPERVISED: scoring.judge(board.world, supervised)}
    board.results = _results(board, seed)
    _tell(board.results, options)
    if not options.is_headless:
        _say(f"The API goes on at {running.addresses.url}; Ctrl-C ends it.")
        with suppress(KeyboardInterrupt):
            threading.Event().wait()


def _board(year: Future[Baskets], options: Options, seed: int) -> Board:
    """The world, and what the reference policies do in it that need not know the engine's moments."""
    chosen = world.of_year(year.result(), options.households, options.weeks, options.salt)
    pushes = references.choose_all(chosen, seed)
    return Board(chosen, {name: scoring.judge(chosen, one) for name, one in pushes.items()})


def _taught(year: Future[Baskets], laid_out: Future[Board]) -> Choosing:
    from service.demo.supervised import Supervised  # noqa: PLC0415 - compiled kernels: the server starts meanwhile

    return Supervised(laid_out.result().world, year.result()).pushes


def _replay(replay: Replay, board: Board) -> None:
    with progress.bar(board, replay.hours()) as bar:
        replay.prepare()
        replay.import_history()
        replay.run(bar.hour)
    board.phase = "done"


def _results(board: Board, seed: int) -> Results:
    traffic = Traffic(
        events=board.events, decisions=board.decisions, accepted=board.accepted, seconds=board.elapsed_s()
    )
    scores = {"engine": scoring.judge(board.world, board.engine), **board.references}
    return results.of_run(board.world, scores, board.engine, traffic, seed)


def explained(board: Board, api: Api) -> list[ExplainedPush]:
    """The last push that was opened and redeemed, the last that was only redeemed, and the last that nobody answered."""
    found: dict[tuple[bool, bool], ExplainedPush] = {}
    by_time = sorted(board.decision_ids, key=lambda place: (int(board.engine.at_s[place]), place), reverse=True)
    wanted = {(True, True), (False, True), (False, False)}
    for place in by_time:
        became = (bool(board.opened_at_s[place]), bool(board.redeemed_at_s[place]))
        if became in wanted - found.keys():
            user_id = f"hh-{board.world.baskets.household_ids[place[0]]}"
            title = board.world.deals[int(board.engine.deals[place])].title
            why = api.explain(user_id, board.decision_ids[place])
            found[became] = ExplainedPush(user_id, title, int(board.engine.at_s[place]), *became, why)
    return [found[became] for became in sorted(found, reverse=True)]


def _tell(shown: Results, options: Options) -> None:
    if options.is_json:
        sys.stdout.write(json.dumps(results.as_json(shown)) + "\n")
        sys.stdout.flush()
    else:
        progress.print_table(Console(), shown)


@contextmanager
def _report(board: Board, options: Options) -> Iterator[None]:
    if options.is_headless:
        yield
        return
    with report.served(board) as url:
        _say(f"Report: {url}")
        yield


@contextmanager
def _ending_in_order() -> Iterator[None]:
    """SIGTERM ends a run as Ctrl-C does."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _say(words: str) -> None:
    sys.stderr.write(words + "\n")
