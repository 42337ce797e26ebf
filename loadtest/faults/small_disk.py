"""A file system with little room, in memory, which can be filled and given room again."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_BALLAST: Final = "ballast"
_PIECES: Final = (2**20, 2**12)


class SmallDisk:
    """Mounted at `folder` for as long as `mounted` is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def free(self) -> int:
        """Bytes that are left."""
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_frsize

    def fill(self) -> None:
        """Leaves no room at all, until `give_room`; again takes what has been freed since."""
        with (self.folder / _BALLAST).open("ab", buffering=0) as ballast:
            for piece in _PIECES:
                with contextlib.suppress(OSError):  # that it is full is what is wanted
                    while ballast.write(b"\0" * piece):
                        pass

    def give_room(self) -> None:
        """All that `fill` took."""
        (self.folder / _BALLAST).unlink(missing_ok=True)


@contextlib.contextmanager
def mounted(folder: Path, size: int) -> Iterator[SmallDisk]:
    """`size` bytes at `folder`, which every account may pass through. Raises CalledProcessError where mounting is not permitted."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=711", "none", folder], check=True)  # noqa: S607
    try:
        yield SmallDisk(folder)
    finally:
        # What still holds a file there must not keep it: it goes when the last of them has gone.
        subprocess.run(["umount", "--lazy", folder], check=True)  # noqa: S607
