"""Dockerfile, compose file and systemd units: the rules we rely on, as far as they can be read without building anything."""

import re
import subprocess
from configparser import ConfigParser
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from service import cli, settings, supervisor
from tests.parts import SYSTEMD_ANALYZE, needs_systemd

FILES: Final = Path(__file__).parents[2] / "docs" / "operations"
UNITS: Final = sorted(path.name for path in FILES.glob("welltimed*.*") if path.suffix in {".service", ".timer"})
DRAIN_S: Final = supervisor.STOP_TIMEOUT_S
VARIABLE: Final = re.compile(r"\bWELLTIMED_[A-Z_]+")


def steps() -> list[tuple[str, str]]:
    """Instructions of the Dockerfile with their words, lines joined."""
    text = re.sub(r"\\\n\s*", "", (FILES / "Dockerfile").read_text())
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in text.splitlines() if line and line[0] != "#"]


def seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+)s?", text)
    assert found is not None, text
    return float(found[1])


def test_the_image_runs_as_a_number_and_says_how_it_is() -> None:
    last = [place for place, (word, _) in enumerate(steps()) if word == "FROM"][-1]
    final = steps()[last:]
    words = dict(final)
    uid, gid = words["USER"].split(":")
    assert int(uid) >= 1000
    assert int(gid) >= 1000
    assert words["STOPSIGNAL"] == "SIGTERM"
    assert "/livez" in words["HEALTHCHECK"]  # whoever ends what is unhealthy must not end those that decide from memory
    assert words["ENTRYPOINT"] == '["welltimed"]'
    assert words["CMD"] == '["serve"]'
    # What follows USER runs without rights; nothing is installed or copied after it.
    assert not {"RUN", "COPY", "ADD"} & {word for word, _ in final[[word for word, _ in final].index("USER") :]}
    assert "ADD" not in {word for word, _ in steps()}
    assert not any(re.search(r":latest\b", words) or ":" not in words for word, words in steps() if word == "FROM")


def test_what_is_installed_is_pinned_by_hash() -> None:
    installs = [words for word, words in steps() if word == "RUN" and "pip install" in words]
    assert installs
    for words in installs:
        for command in re.findall(r"pip install [^&]*", words):
            assert "--require-hashes" in command or "--no-deps --no-build-isolation ." in command
    copied = {
        name for word, words in steps() if word == "COPY" and "--from" not in words for name in words.split()[:-1]
    }
    assert copied == {
        *("requirements.lock", "pyproject.toml", "README.md", "LICENSE"),
        *("schema", "bandits", "push", "service"),
    }


def compose() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((FILES / "compose.yml").read_text())
    return read


def test_the_container_may_do_little_and_is_given_time_to_end() -> None:
    ours, postgres = compose()["services"]["welltimed"], compose()["services"]["postgres"]
    assert ours["read_only"] is True
    assert ours["cap_drop"] == ["ALL"]
    assert ours["security_opt"] == ["no-new-privileges:true"]
    assert not ours["user"].startswith("0")
    assert "privileged" not in ours
    assert seconds(ours["stop_grace_period"]) > DRAIN_S
    assert ours["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert all(port.startswith("127.0.0.1:") for port in ours["ports"])
    assert "ports" not in postgres
    assert compose()["networks"]["inside"] == {"internal": True}


def test_everything_named_in_the_compose_file_is_there() -> None:
    whole = compose()
    for service in whole["services"].values():
        assert set(service["secrets"]) <= whole["secrets"].keys()
        assert {volume.partition(":")[0] for volume in service["volumes"]} <= whole["volumes"].keys()
        assert set(service["networks"]) <= whole["networks"].keys()
    build = whole["services"]["welltimed"]["build"]
    assert (FILES / build["context"] / build["dockerfile"]).resolve() == (FILES / "Dockerfile").resolve()
    text = (FILES / "compose.yml").read_text()
    assert not re.search(r"(password|secret|key)\w*:\s*['\"]?[A-Za-z0-9]{12,}", text, re.IGNORECASE)


def unit(name: str) -> ConfigParser:
    read = ConfigParser(strict=False, interpolation=None, delimiters="=")
    read.optionxform = str  # type: ignore[assignment,method-assign]
    read.read_string((FILES / name).read_text())
    return read


def test_the_unit_runs_without_rights_and_is_given_time_to_end() -> None:
    service = unit("welltimed.service")["Service"]
    assert seconds(service["TimeoutStopSec"]) > 2 * DRAIN_S
    assert service["KillMode"] == "mixed"  # to the supervisor alone: it ends the others in order
    assert service["User"] != "root"
    assert service["Restart"] == "always"
    for name, wanted in {
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "CapabilityBoundingSet": "",
        "UMask": "0077",
    }.items():
        assert service[name] == wanted
    assert "MemoryDenyWriteExecute" not in service  # Numba compiles


@needs_systemd
@pytest.mark.parametrize("name", UNITS)
def test_systemd_understands_the_unit(name: str, tmp_path: Path) -> None:
    text = (FILES / name).read_text()
    # The program is not installed here, and its account is not there.
    (tmp_path / name).write_text(text.replace("/opt/welltimed/bin/welltimed", "/bin/true"))
    for other in UNITS:
        (tmp_path / other).touch()
    done = subprocess.run(
        [SYSTEMD_ANALYZE, "verify", str(tmp_path / name)], capture_output=True, text=True, timeout=60, check=False
    )
    ours = [line for line in done.stderr.splitlines() if name in line or str(tmp_path) in line]
    assert (done.returncode, ours) == (0, []), done.stderr


@pytest.mark.parametrize("name", ["Dockerfile", "compose.yml", *UNITS])
def test_settings_and_commands_exist(name: str) -> None:
    text = (FILES / name).read_text()
    known = {f"{settings.PREFIX}{field.upper()}" for field in settings.Settings.__struct_fields__}
    assert set(VARIABLE.findall(text)) <= known
    for command in re.findall(r"bin/welltimed (\w+)", text):
        assert command in cli.main.commands
