"""The numbers of a run and its page: they agree with each other, escape what they show, and are served."""

import json
from io import StringIO
from uuid import UUID
from xml.etree import ElementTree as ET

import httpx
import msgspec
import numpy as np
from rich.console import Console

from service.demo import charts, progress, report, results, scoring
from service.demo.api import Explained
from service.demo.board import Board, ExplainedPush
from service.demo.results import Results, Traffic
from service.demo.scoring import Scores
from tests.unit.demo_world import MILK, seconds, world

SENT_S = seconds("2017-03-15T12:00:00")


def board() -> Board:
    """Two households and weeks; the first opens and redeems its push of the first week."""
    small = world(2, 2, [(0, "2017-03-15T13:00:00", "milk"), (1, "2017-03-23T09:00:00", "tea")])
    sent = scoring.none_sent(small)
    sent.at_s[:, 0] = SENT_S
    references = {name: scoring.judge(small, sent) for name in ("random", "popular", "usual")}
    made = Board(small, references)
    made.engine.at_s[:, 0] = SENT_S
    made.engine.deals[:, 0] = MILK
    made.accepted = 2
    made.decision_ids = {(0, 0): UUID(int=1), (1, 0): UUID(int=2)}
    made.opened_at_s[0, 0] = made.redeemed_at_s[0, 0] = seconds("2017-03-15T13:00:00")
    return made


def finished(made: Board) -> Results:
    traffic = Traffic(events=100, decisions=4, accepted=2, seconds=8.0)
    scores = {"engine": scoring.judge(made.world, made.engine), **made.references}
    return results.of_run(made.world, scores, made.engine, traffic, 1)


def test_the_json_adds_up() -> None:
    found = json.loads(json.dumps(results.as_json(finished(board()))))
    engine = found["policies"]["engine"]
    assert (found["households"], found["weeks"], found["events"], found["decisions"]) == (2, 2, 100, 4)
    assert (found["pushes"], found["opened"], found["redeemed"]) == (2, 1, 1)
    assert (engine["pushes"], engine["no_sends"], engine["redeemed_per_push"]) == (2, 2, 0.5)
    assert engine["redeemed_per_household_week"] == engine["opened_per_household_week"] == 0.25
    assert found["events_per_s"] == 12.5
    assert found["whole"]["vs_usual"]["redeemed"]["value"] == 1.0
    assert found["whole"]["share_of_oracle"] == 1.0
    # Nothing was sent in the second week.
    assert found["second_half"]["share_of_oracle"] is None
    assert found["second_half"]["vs_usual"]["redeemed"] == {"value": None, "low": None, "high": None}


def test_no_name_is_cut_in_a_narrow_terminal() -> None:
    told = StringIO()
    progress.print_table(Console(file=told, width=80), finished(board()))
    assert {"engine", "random", "popular", "usual", "everyone"} <= set(told.getvalue().split())
    assert "…" not in told.getvalue()


def test_answers_count_when_their_time_has_come() -> None:
    made = board()
    made.now_s = SENT_S
    assert made.rates() == (2, 0, 0)
    assert made.weekly_redeemed()["engine"] == []
    made.now_s = seconds("2017-03-15T13:00:00")
    assert made.rates() == (2, 1, 1)
    made.now_s = seconds("2017-03-23T00:00:00")
    assert made.weekly_redeemed()["engine"] == [0.5]
    assert made.send_hours()[2, 12] == made.send_hours().sum() == 2


def test_the_page_refreshes_until_it_is_done_and_escapes_what_it_shows() -> None:
    made = board()
    made.phase = "a <phase>"
    running = report.render(made)
    assert "a &lt;phase&gt;" in running
    assert 'http-equiv="refresh"' in running
    made.results = finished(made)
    why = Explained(headline="You like <milk>", because=["5 & more"])
    made.explained = [ExplainedPush("hh-1000", "milk", SENT_S, opened=True, redeemed=False, why=why)]
    done = report.render(made)
    assert 'http-equiv="refresh"' not in done
    assert "You like &lt;milk&gt;" in done
    assert "5 &amp; more" in done
    assert "Wed 15 Mar, 12:00: opened" in done
    assert results.CAVEAT in done
    for policy in ("engine", "random", "popular", "usual"):
        assert f"<td>{policy}</td>" in done


def test_charts_are_well_formed_and_show_every_number() -> None:
    curve = ET.fromstring(charts.curves({"engine": [0.1, 0.2], "usual": [0.1], "random": []}, 20))
    assert [line.get("class") for line in curve.iter("polyline")] == ["curve engine", "curve usual"]
    hours = np.zeros((7, 24), np.int64)
    hours[4, 17] = 9
    squares = list(ET.fromstring(charts.heat_map(hours)).iter("rect"))
    assert len(squares) == 168
    assert squares[4 * 24 + 17].get("fill-opacity") == "1.000"
    text = "".join(ET.fromstring(charts.funnel([("planned", 10), ("accepted", 5), ("opened", 0)])).itertext())
    assert "5 (50.0% of planned)" in text
    assert charts.funnel([("planned", 0)])
    assert charts.curves({}, 1)


def test_the_page_is_served_to_this_machine_alone() -> None:
    with report.served(board()) as url:
        page = httpx.get(url)
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert httpx.get(url + "other").status_code == 404
        assert httpx.post(url).status_code == 404
        assert url.startswith("http://127.0.0.1:")


def test_ratios_leave_as_json_without_infinities() -> None:
    shape = (3, 2)
    some = Scores(np.ones(shape, bool), np.ones(shape, bool), np.zeros(shape, bool))
    assert b"null" in msgspec.json.encode(results._policy(some._replace(sent=np.zeros(shape, bool))))
