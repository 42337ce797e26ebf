"""Decisions that were answered while PostgreSQL was away, in files of this machine: on disk before the answer leaves, read once it is back.

A file holds records: length and CRC-32 of the body, big-endian, then the body: the names of columns, and rows as COPY takes them. Who writes
a file holds a lock on it, which ends with the process: what nobody holds may be read and removed by anybody. A record that is not whole is
the last one of a process that died while it wrote, before any answer left; it and what follows is cut off.
"""

import asyncio
import errno
import fcntl
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final
from uuid import uuid4
from zlib import crc32

import msgspec

BYTES_MAX: Final = 64 * 2**20
"""Of what one process has written and nobody has imported yet; a decision takes up to 4 KiB."""

_FOLDER: Final = "journal"
_SUFFIX: Final = ".decisions"
_HEAD: Final = struct.Struct(">II")


class JournalFull(OSError):
    """It holds BYTES_MAX already."""


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """Rows of one table, as COPY takes them in binary format."""

    columns: tuple[str, ...]
    rows: bytes


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Batch)


class Journal:
    """The journal of one process. To the decision log it is a connection: what is copied to it is on disk when that returns."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / _FOLDER
        self._file: BinaryIO | None = None
        self._paths: list[Path] = []
        """Of the files it began: one that has been imported is there no longer."""
        self._size = 0
        """Of all of them, in bytes."""

    async def copy_to_table(self, _table: str, *, source: memoryview, columns: Sequence[str], **_format: str) -> None:
        """Appends a batch; one at a time. Raises OSError when it is full or the disk refuses; then nothing was kept."""
        body = _ENCODER.encode(Batch(tuple(columns), bytes(source)))
        await asyncio.to_thread(self._append, _HEAD.pack(len(body), crc32(body)) + body)

    def seal(self) -> None:
        """Writes no more to the present file: it may be read now."""
        if self._file is not None:
            self._file.close()
        self._file = None

    def _append(self, record: bytes) -> None:
        if self._file is None:
            sizes = {path: _size_of(path) for path in self._paths}
            self._paths = [path for path, size in sizes.items() if size]
            self._size = sum(sizes.values())
            path = self._folder / f"{uuid4().hex}{_SUFFIX}"
            self._file = _new_file(path)
            self._paths.append(path)
        if self._size + len(record) > BYTES_MAX:
            raise JournalFull(f"the journal of decisions holds {self._size} bytes, and takes no more")
        try:
            _write_whole(self._file, record)
            os.fdatasync(self._file.fileno())
        except OSError:
            self.seal()  # what is in it now nobody knows: its end is cut when it is read, and the next record begins another
            raise
        self._size += len(record)


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # another process has imported it
        return 0


def _write_whole(file: BinaryIO, record: bytes) -> None:
    """A disk that becomes full takes a part, and says so only to the next write."""
    written = file.write(record)
    if written != len(record):
        raise OSError(errno.ENOSPC, f"{written} of {len(record)} bytes were written")


def _new_file(path: Path) -> BinaryIO:
    """Gets its name when it is held: one that nobody holds may be removed by anybody."""
    folder = path.parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    begun = path.with_suffix(".begun")
    made = begun.open("xb", buffering=0)
    fcntl.flock(made, fcntl.LOCK_EX | fcntl.LOCK_NB)
    begun.rename(path)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    return made


def files(data_dir: Path) -> list[Path]:
    """All files of this machine, also those that are being written; a file is removed when its decisions are in PostgreSQL."""
    return sorted((data_dir / _FOLDER).glob(f"*{_SUFFIX}"))


@contextmanager
def held(path: Path) -> Iterator[bytes | None]:
    """The bytes of a file that nobody else reads or writes meanwhile; None when somebody does, or it is gone."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        yield None
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        # Its last reader may have removed it between our opening and our lock.
        yield file.read() if os.fstat(file.fileno()).st_nlink else None


def remove(path: Path) -> None:
    """Called by who holds it, when all of it is in PostgreSQL."""
    with suppress(FileNotFoundError):
        path.unlink()


def set_aside(path: Path) -> None:
    """Called by who holds it, when PostgreSQL will not have it: it is kept for whoever looks into that, and holds up nobody."""
    path.rename(path.with_suffix(".refused"))


def batches(data: bytes) -> tuple[list[Batch], int]:
    """The whole records of a file, and how many bytes at its end belong to none."""
    found: list[Batch] = []
    at = 0
    while at + _HEAD.size <= len(data):
        length, checksum = _HEAD.unpack_from(data, at)
        body = data[at + _HEAD.size : at + _HEAD.size + length]
        if not length or len(body) < length or crc32(body) != checksum:  # a machine that crashed may leave zeros
            break
        found.append(_DECODER.decode(body))
        at += _HEAD.size + length
    return found, len(data) - at
