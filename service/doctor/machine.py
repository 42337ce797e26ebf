"""This machine: room on the disk, the port, time zones, compiled kernels, who may read the data directory."""

import shutil
import stat
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

import bandits.kernels
from service.doctor.finding import Finding, Group
from service.settings import Settings
from service.sockets import PortTaken, reserve_alone
from service.store import zones
from service.store.binaries import find_binaries
from service.store.unavailable import PostgresUnavailable

GIB: Final = 2**30
FREE_SHARE_WARN: Final = 0.15
FREE_BYTES_FAIL: Final = GIB
ZONES: Final = ("Europe/Berlin", "America/New_York", "Asia/Kolkata")

_GROUP: Final = Group("machine")
_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def look(settings: Settings) -> list[Finding]:
    """All findings about the machine."""
    found = [_disk(settings.data_dir), _data_dir(settings.data_dir), _port(settings), _zones(), _kernels()]
    return [*found, _binaries(settings)] if settings.database_url is None else found


def _disk(data_dir: Path) -> Finding:
    there = next(folder for folder in (data_dir, *data_dir.absolute().parents) if folder.exists())
    usage = shutil.disk_usage(there)
    says = f"{usage.free / GIB:.1f} of {usage.total / GIB:.1f} GiB free at {there}"
    advice = "a full disk refuses every write; make room (docs/operations.md)"
    is_low = usage.free < FREE_SHARE_WARN * usage.total
    return _GROUP.graded("disk", says, advice, warn=is_low, fail=usage.free < FREE_BYTES_FAIL)


def _data_dir(data_dir: Path) -> Finding:
    if not data_dir.exists():
        return _GROUP.ok("data directory", f"{data_dir} is made by `welltimed serve`")
    mode = stat.S_IMODE(data_dir.stat().st_mode)
    says, advice = f"{data_dir} has mode {mode:04o}", f"chmod go-w {data_dir}"
    return _GROUP.graded("data directory", says, advice, warn=False, fail=bool(mode & (stat.S_IWGRP | stat.S_IWOTH)))


def _port(settings: Settings) -> Finding:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    where = f"{host}:{settings.port}"
    try:
        reserve_alone(settings.host, settings.port).close()
    except PortTaken:
        if _is_ours(where):
            return _GROUP.ok("port", f"welltimed serves on {where}")
        return _GROUP.fail("port", f"another program listens on {where}", "set WELLTIMED_PORT, or end that program")
    except OSError as error:
        return _GROUP.fail("port", f"{where}: {error.strerror}", "WELLTIMED_HOST must be an address of this machine")
    return _GROUP.ok("port", f"{where} is free")


def _is_ours(where: str) -> bool:
    try:
        with _OPENER.open(f"http://{where}/livez", timeout=2) as answer:
            return b'"alive"' in answer.read(200)
    except (OSError, urllib.error.URLError):
        return False


def _zones() -> Finding:
    missing = [name for name in ZONES if not zones.is_known(name)]
    says = f"unknown: {', '.join(missing)}" if missing else "known"
    return _GROUP.graded("time zones", says, "install the system's tzdata", warn=False, fail=bool(missing))


def _kernels() -> Finding:
    folder = Path(bandits.kernels.__path__[0]) / "__pycache__"
    compiled = len(list(folder.glob("*.nbi")))
    if not compiled:
        advice = "the first start compiles for about a minute; where the folder cannot be written to, every start does"
        return _GROUP.warn("kernels", f"none is compiled in {folder}", advice)
    return _GROUP.ok("kernels", f"{compiled} compiled in {folder}")


def _binaries(settings: Settings) -> Finding:
    try:
        return _GROUP.ok("PostgreSQL binaries", str(find_binaries(settings.postgres_bin_dir)))
    except PostgresUnavailable as error:
        return _GROUP.fail("PostgreSQL binaries", str(error), "or set WELLTIMED_DATABASE_URL")
