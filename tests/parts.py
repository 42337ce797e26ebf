"""Parts of the machine that some tests need; a test that lacks one is skipped with a reason that begins with ABSENT."""

import shutil
import subprocess
from pathlib import Path

import pytest

ABSENT = "absent: "
NO_RIGHT = f"{ABSENT}the right to "
"""No part of these: nothing that is installed gives a right, so who cannot give it runs the rest all the same."""
CHROMIUM = Path("/usr/bin/chromium")

needs_chromium = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{ABSENT}Debian's chromium")
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")

needs_nginx = pytest.mark.skipif(NGINX is None, reason=f"{ABSENT}Debian's nginx")
needs_setpriv = pytest.mark.skipif(shutil.which("setpriv") is None, reason=f"{ABSENT}setpriv")
CC = shutil.which("cc") or ""

SYSTEMD_ANALYZE = shutil.which("systemd-analyze") or ""

needs_systemd = pytest.mark.skipif(not SYSTEMD_ANALYZE, reason=f"{ABSENT}Debian's systemd")
needs_cc = pytest.mark.skipif(not CC, reason=f"{ABSENT}a compiler for C (gcc, libc6-dev)")


def _may_mount() -> bool:
    """Tried in a namespace of its own, which nobody sees."""
    unshare = shutil.which("unshare")
    tried = [str(unshare), "--mount", "mount", "-t", "tmpfs", "none", "/tmp"]
    return unshare is not None and subprocess.run(tried, capture_output=True, check=False).returncode == 0


# Root with CAP_SYS_ADMIN has it. The other right is to make a control group of memory: tests/story/test_memory_limit.py finds out by trying.
needs_mount = pytest.mark.skipif(not _may_mount(), reason=f"{NO_RIGHT}mount a file system")
