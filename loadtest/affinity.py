"""Which cores processes may run on while something is measured."""

import contextlib
import os
from collections.abc import Collection, Iterator

from loadtest import processes


@contextlib.contextmanager
def held(roots: Collection[int], cores: Collection[int]) -> Iterator[None]:
    """These processes and their descendants on these cores, and where we ourselves may run afterwards."""
    everywhere = os.sched_getaffinity(0)
    _allow(roots, cores)
    try:
        yield
    finally:
        _allow(roots, everywhere)


@contextlib.contextmanager
def apart(answering: Collection[int]) -> Iterator[None]:
    """The calling process on a core of its own that the processes `answering` leave alone; nothing, where there is one core alone.

    Who asks stands for machines elsewhere. Linux lays those who talk to each other on one core, and leaves them there for tenths of a
    second while another is idle: what one waits for then is the generator. All but these processes may run anywhere.
    """
    cores = os.sched_getaffinity(0)
    if len(cores) < 2 or not answering:
        yield
        return
    core = max(cores)
    with held(answering, cores - {core}):
        os.sched_setaffinity(0, {core})
        try:
            yield
        finally:
            os.sched_setaffinity(0, cores)


def _allow(roots: Collection[int], cores: Collection[int]) -> None:
    for thread in processes.threads(*roots):
        with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
            os.sched_setaffinity(thread, cores)
