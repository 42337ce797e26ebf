"""What a run shows in the terminal: a bar while it runs, the table of the policies at its end."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from service.demo import tables
from service.demo.board import Board
from service.demo.results import CAVEAT, Results

ROOMY_COLUMNS: Final = 100


class Bar:
    """The progress bar of one run."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def hour(self) -> None:
        """One more hour is done."""
        self._progress.advance(self._task)


class _Standing(ProgressColumn):
    """How the board stands, made when it is shown and not each hour."""

    def __init__(self, board: Board) -> None:
        super().__init__()
        self._board = board

    def render(self, _: Task) -> Text:
        """The phase, or the week with what has come of its pushes."""
        return Text(self._words())

    def _words(self) -> str:
        board = self._board
        if board.week() < 0:
            return f"{board.phase} · {board.events} events"
        rates = board.rates()
        pushes = max(rates.pushes, 1)
        week = min(board.week() + 1, board.world.weeks)
        return (
            f"week {week}/{board.world.weeks} · {board.events / board.elapsed_s():.0f} events/s · "
            f"{rates.pushes} pushes · opened {rates.opened / pushes:.1%} · redeemed {rates.redeemed / pushes:.1%}"
        )


@contextmanager
def bar(board: Board, hours: int) -> Iterator[Bar]:
    """A bar on standard error for a run of that many hours."""
    columns = (BarColumn(bar_width=24), TextColumn("{task.percentage:>3.0f} %"), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, _Standing(board), console=console, refresh_per_second=4) as progress:
        yield Bar(progress, progress.add_task("replay", total=hours))


def print_table(console: Console, results: Results) -> None:
    """Prints the policies, how the engine compares, and what this does not show."""
    size = f"{results.households} households, {results.weeks} weeks"
    console.print(_table(console, size, tables.POLICY_TITLES, tables.policies(results)))
    for weeks, span in (("all weeks", results.whole), ("second half", results.second_half)):
        title = f"How many times as many, {weeks} (95 % intervals over households)"
        console.print(_table(console, title, tables.COMPARISON_TITLES, tables.comparison(span)))
    title = "The moment alone: opens where the engine sent, and its pushes from 22:00 to 06:00"
    console.print(_table(console, title, tables.MOMENT_TITLES, tables.moments(results.moments)))
    traffic = results.traffic
    console.print(f"{traffic.events} events, {traffic.accepted} pushes accepted, in {traffic.seconds:.0f} s")
    console.print(CAVEAT)


def _table(console: Console, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    # In 80 columns there is no room for air, and rich would cut numbers.
    is_narrow = console.width < ROOMY_COLUMNS
    table = Table(title=title, padding=(0, 0 if is_narrow else 1), show_edge=not is_narrow, box=box.SIMPLE_HEAD)
    longest = max(len(word) for row in rows for word in row[0].split())
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left", min_width=None if place else longest)
    for row in rows:
        table.add_row(*row)
    return table
