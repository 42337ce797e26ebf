"""`welltimed policies` and `welltimed snapshots` as an operator uses them: what they print and how they exit."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from service.cli import main
from service.learning.composer import Composer
from service.store.pool import open_pool
from tests.deciding import NOW


class Operator:
    """Somebody at the command line of one installation."""

    def __init__(self, dsn: str) -> None:
        self._runner = CliRunner(env={"WELLTIMED_DATABASE_URL": dsn})

    def run(self, *arguments: str) -> Result:
        return self._runner.invoke(main, arguments)

    def told(self, *arguments: str) -> Any:
        done = self.run(*arguments, "--json")
        assert (done.exit_code, done.stderr) == (0, "")
        return json.loads(done.stdout)

    def printed(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert (done.exit_code, done.stderr) == (0, "")
        return done.stdout

    def refused(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr.startswith("welltimed: ")
        return done.stderr


@pytest.fixture
def operator(database: str) -> Operator:
    async def publish() -> None:
        async with await open_pool(database, 2) as pool:
            assert await Composer(pool).publish(NOW)
            assert await Composer(pool).publish(NOW + timedelta(hours=1))

    asyncio.run(publish())
    return Operator(database)


def test_a_policy_from_a_file_to_a_rollback(operator: Operator, tmp_path: Path) -> None:
    file = tmp_path / "bolder.json"
    file.write_text('{"name": "bolder", "kind": "thompsn"}')
    assert "kind" in operator.refused("policies", "create", str(file))
    file.write_text('{"name": "bolder", "exploration": 0.4}')
    made = operator.told("policies", "create", str(file))
    assert (made["version"], made["settings"]["exploration"], made["is_in_force"]) == (1, 0.4, False)
    assert made["created_by"].startswith("command line, ")
    assert "  bolder@1" in operator.printed("policies", "show", "bolder")
    assert "no such policy" in operator.refused("policies", "show", "nobody")

    words = operator.refused("policies", "promote", "bolder")
    assert "The log cannot tell whether bolder@1 earns more than default@0" in words
    assert "  - the log holds no decision that could be judged" in words
    assert "needs a reason" in operator.refused("policies", "promote", "bolder", "--force")
    assert "no such campaign" in operator.refused("policies", "evaluate", "bolder", "--campaign", "lunch")
    options = ("--since", "2026-03-01", "--until", "2026-03-02T09:30", "--channel", "push", "--confidence", "0.9")
    forced = operator.told("policies", "promote", "bolder", "--force", "--reason", "a trial", *options)
    assert (forced["is_forced"], forced["reason"]) == (True, "a trial")
    assert (forced["evaluation"]["channel"], forced["evaluation"]["confidence"]) == ("push", 0.9)
    assert forced["evaluation"]["until"] == "2026-03-02T09:30:00Z"

    shown = operator.printed("policies", "list")
    assert "* bolder@1" in shown
    assert "promoted by force bolder@1" in shown
    evaluated = operator.printed("policies", "evaluate", "default")
    assert "default@0 against bolder@1" in evaluated
    assert "trustworthy: NO" in evaluated
    assert operator.told("policies", "rollback")["name"] == "default"
    assert "nothing to roll back to" in operator.refused("policies", "rollback")


def test_decisions_are_held_to_a_snapshot_and_let_go(operator: Operator) -> None:
    assert operator.told("snapshots", "pin", "1", "--reason", "2 looks odd")["in_force"] == 1
    shown = operator.printed("snapshots", "list")
    assert "decisions are held to 1" in shown
    assert "2 looks odd" in shown
    assert "*        1" in shown
    assert "never published" in operator.refused("snapshots", "pin", "9")
    assert operator.told("snapshots", "unpin")["in_force"] == 2
    assert "No snapshot is pinned" in operator.refused("snapshots", "unpin")
