"""Arrays from npz files of other people's making: never unpickled, never more memory than the file itself accounts for."""

import math
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt

ARRAY_BYTES_MAX: Final = 4 * 2**30

_HEADERS: Final = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class UnreadableError(ValueError):
    """A file is no npz of plain arrays."""


def arrays(file: Path, names: tuple[str, ...]) -> dict[str, npt.NDArray[Any]]:
    """Those of the named arrays that the file has; never unpickles, never allocates more than the file holds."""
    with file.open("rb") as stream:
        try:
            return _arrays(stream, names)
        except UnreadableError:
            raise
        except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OverflowError, OSError, RuntimeError) as error:
            # A damaged directory leads anywhere, before the beginning of the file too (OSError).
            raise UnreadableError(f"{file.name}: no npz file ({error})") from error


def _arrays(stream: IO[bytes], names: tuple[str, ...]) -> dict[str, npt.NDArray[Any]]:
    with zipfile.ZipFile(stream) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        return {name: _array(archive, members[name], name) for name in names if name in members}


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> npt.NDArray[Any]:
    if member.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise UnreadableError(f"{name}: packed in a way that numpy does not use")
    if member.file_size > ARRAY_BYTES_MAX:
        raise UnreadableError(f"{name}: {member.file_size:,} bytes, more than {ARRAY_BYTES_MAX:,}")
    with archive.open(member) as stream:
        shape, dtype = _header(stream, name)
    if dtype.hasobject:
        raise UnreadableError(f"{name}: holds Python objects, not numbers (leave out what is None)")
    if math.prod(shape) * dtype.itemsize > member.file_size:
        raise UnreadableError(f"{name}: shape {shape} is more than the file holds")
    with archive.open(member) as stream:
        try:
            array: npt.NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
        except (ValueError, zipfile.BadZipFile) as error:
            raise UnreadableError(f"{name}: cannot be read ({error})") from error
    return array


def _header(stream: IO[bytes], name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    try:
        shape, _, dtype = _HEADERS[np.lib.format.read_magic(stream)](stream)
    except (ValueError, KeyError) as error:
        raise UnreadableError(f"{name}: is no array of numpy ({error})") from error
    return shape, dtype
