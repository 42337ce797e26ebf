"""A data directory that the account of PostgreSQL can reach, with a cluster in it already: that saves seconds of initdb."""

import subprocess
from pathlib import Path

import pytest


@pytest.fixture
def data_dir(stopped_cluster: Path, reachable_folder: Path) -> Path:
    """Where a server of this test's own may live."""
    folder = reachable_folder / "welltimed"
    folder.mkdir()
    folder.chmod(0o711)
    subprocess.run(["cp", "-a", stopped_cluster, folder / "postgres"], check=True)
    return folder
