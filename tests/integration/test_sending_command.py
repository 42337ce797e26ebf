"""`welltimed sending` as an operator uses it when the API does not answer."""

from tests.integration.test_policy_commands import Operator


def test_sending_is_stopped_and_goes_on(database: str) -> None:
    operator = Operator(database)
    assert operator.told("sending", "show")["is_stopped"] is False
    stopped = operator.told("sending", "stop", "--reason", "wrong prices", "--spare-transactional")
    assert (stopped["is_stopped"], stopped["spares_transactional"], stopped["reason"]) == (True, True, "wrong prices")
    assert stopped["set_by"].startswith("command line")
    printed = operator.printed("sending", "show")
    assert "stopped, but for what is transactional" in printed
    assert "wrong prices" in printed
    assert operator.run("sending", "resume").exit_code == 2
    assert operator.told("sending", "resume", "--reason", "right again")["version"] == 2
    assert operator.printed("sending", "show").startswith("sending goes on")
