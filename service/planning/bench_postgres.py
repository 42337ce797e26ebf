"""What the benches of planning, drawing and sending share: a PostgreSQL of their own, and bare parts that are timed."""

import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from service.store.embedded import EmbeddedPostgres

CHUNK: Final = 1 << 20

Tell = Callable[[str], None]
"""Takes a line of what a bench is at."""


@contextmanager
def own_postgres() -> Iterator[tuple[Path, EmbeddedPostgres]]:
    """A folder and a server in it, both gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="welltimed-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # PostgreSQL may run as another account
        with EmbeddedPostgres(folder / "postgres") as postgres:
            yield folder, postgres


async def seconds_of(run: Callable[[], Awaitable[object]]) -> float:
    """By the clock."""
    began = time.perf_counter()
    await run()
    return time.perf_counter() - began


async def chunks(file: Path) -> AsyncIterator[bytes]:
    """A file as COPY takes it."""
    with file.open("rb") as opened:
        while chunk := opened.read(CHUNK):
            yield chunk
