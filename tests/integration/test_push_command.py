"""`welltimed push test` against the stand-in: every outcome in words, and an exit code that a script can use."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from service.cli import main
from tests.contract.stand_in_server import StandInServer


@pytest.fixture(scope="module")
def server() -> Iterator[StandInServer]:
    with StandInServer() as server:
        yield server


def ask(server: StandInServer, folder: Path, *options: str) -> Result:
    account = folder / "account.json"
    account.write_text(json.dumps(server.account))
    variables = {"FIREBASE_CREDENTIALS": str(account), "FCM_BASE_URL": server.url, "DATA_DIR": str(folder)}
    return CliRunner().invoke(
        main, ["push", "test", *options], env={f"WELLTIMED_{name}": value for name, value in variables.items()}
    )


@pytest.mark.parametrize(
    ("token", "outcome", "words"),
    [
        ("ok-1", "accepted", "Firebase has taken the message"),
        ("gone-1", "unregistered", "newer token"),
        ("bad-1", "rejected", "no address that Firebase knows"),
        ("sender-1", "rejected", "another Firebase project"),
        ("apns-1", "not_now", "APNs key"),
        ("quota-1", "not_now", "quota"),
        ("int-1", "not_now", "for now"),
        ("down-1", "unknown", "may arrive or not"),
    ],
)
def test_each_outcome_is_told(server: StandInServer, tmp_path: Path, token: str, outcome: str, words: str) -> None:
    asked = ask(server, tmp_path, "--token", token, "--json")
    told = json.loads(asked.stdout)
    assert (told["outcome"], asked.exit_code) == (outcome, 0 if outcome == "accepted" else 1)
    assert words in told["words"]


def test_the_phone_shows_what_was_said_and_a_second_one_in_its_place(server: StandInServer, tmp_path: Path) -> None:
    for title in ("First", "Second"):
        asked = ask(server, tmp_path, "--token", "ok-phone", "--title", title)
        assert "outcome: accepted" in asked.stdout
    (banner,) = server.get("/banners/ok-phone")["banners"]
    assert banner["copies"] == 2
    assert banner["entry"]["message"]["notification"]["title"] == "Second"


def test_a_firebase_installation_id_is_sent_as_one(server: StandInServer, tmp_path: Path) -> None:
    assert ask(server, tmp_path, "--token", "ok-fid", "--fid").exit_code == 0
    (received,) = server.get("/inbox/ok-fid")["messages"]
    assert received["entry"]["message"]["fid"] == "ok-fid"


def test_an_account_that_is_not_let_in_is_told_so(server: StandInServer, tmp_path: Path) -> None:
    server.put_faults({"mode": "401"})
    told = json.loads(ask(server, tmp_path, "--token", "ok-1", "--json").stdout)
    server.put_faults()
    assert told["outcome"] == "not_now"
    assert "does not let us in" in told["words"]


def test_without_an_account_it_says_what_to_set(tmp_path: Path) -> None:
    asked = CliRunner().invoke(main, ["push", "test", "--token", "t"], env={"WELLTIMED_DATA_DIR": str(tmp_path)})
    assert asked.exit_code == 3
    assert "WELLTIMED_FIREBASE_CREDENTIALS" in asked.stderr
