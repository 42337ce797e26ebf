"""Parts of the machine that some tests need; a test that lacks one is skipped with a reason that begins with ABSENT."""

import shutil
from pathlib import Path

import pytest

ABSENT = "absent: "
CHROMIUM = Path("/usr/bin/chromium")

needs_chromium = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{ABSENT}Debian's chromium")
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")

needs_nginx = pytest.mark.skipif(NGINX is None, reason=f"{ABSENT}Debian's nginx")
needs_setpriv = pytest.mark.skipif(shutil.which("setpriv") is None, reason=f"{ABSENT}setpriv")
