"""What the comparison writes into the page, and how it takes the time."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scripts.peers import commands, interval, personal, quality
from scripts.peers.kept import Kept, Means, fingerprint
from service.replay.rounds import Rounds

ROOT = Path(__file__).parents[2]


def script(name: str) -> Any:
    """A file of scripts/peers, which is no package of ours."""
    spec = importlib.util.spec_from_file_location(f"peers_{name}", ROOT / "scripts" / "peers" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tables, interleaved = script("tables"), script("interleaved")
PAGE = "# A\n\n<!-- bench:speed -->\nold\n<!-- end:speed -->\n\nafter\n"


def test_a_table_goes_between_its_markers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    text = tables.table(("", "µs"), [("ours", "1.0"), ("other", "2.0")])
    tables.write(page, "speed", text)
    assert page.read_text() == PAGE.replace("old", "|  | µs |\n| --- | --: |\n| ours | 1.0 |\n| other | 2.0 |")
    tables.write(page, "speed", "old\n")
    assert page.read_text() == PAGE
    with pytest.raises(ValueError, match="the markers of batch are missing"):
        tables.write(page, "batch", text)


def test_the_page_has_the_markers_of_every_part() -> None:
    page = (ROOT / "docs" / "performance.md").read_text()
    for part in ("speed", "batch", "quality", "digits", "personal", "demo"):
        assert page.count(f"<!-- bench:{part} -->\n") == page.count(f"<!-- end:{part} -->") == 1


def test_all_take_turns_and_who_begins_changes() -> None:
    calls: list[str] = []
    timed = [interleaved.Timed(name, lambda name=name: calls.append(name), 2) for name in "abc"]
    times = interleaved.measure(timed, 3)
    assert "".join(calls) == "aaabbbccc" * 2 + "bbbcccaaa" + "cccaaabbb"
    assert times["a"].ratio == 1.0
    assert all(one.seconds > 0.0 for one in times.values())


@pytest.mark.parametrize(("count", "quantile"), [(2, 12.7062), (7, 2.4469), (11, 2.2281), (20, 2.0930), (200, 1.9720)])
def test_an_interval_is_that_of_student_for_any_number_of_seeds(count: int, quantile: float) -> None:
    numbers = np.random.default_rng(count).normal(size=count).tolist()
    found = interval.of_mean(numbers)
    around = quantile * np.std(numbers, ddof=1) / np.sqrt(count)
    assert found == pytest.approx((np.mean(numbers), np.mean(numbers) - around, np.mean(numbers) + around), abs=1e-4)


def test_of_one_seed_nothing_is_known() -> None:
    assert interval.of_mean([0.5]) == (0.5, -np.inf, np.inf)


def test_a_gain_is_taken_seed_by_seed() -> None:
    found = [
        {quality.OURS: Means(0.2, 0.3), "other": Means(0.1, 0.2)},
        {quality.OURS: Means(0.4, 0.5), "other": Means(0.3, 0.2)},
    ]
    assert quality.row(found, "other") == pytest.approx((0.2, 0.2, 0.1, 0.1, 0.1, 2))
    told = [{"worlds": {"w": {"without": [{"mean": 0.1}], "with": [{"mean": gained}]}}} for gained in (0.1, 0.3)]
    one = personal.row(told, "w", "mean")
    assert (one.without, one.with_layer, one.gain.value) == pytest.approx((0.1, 0.2, 0.1))
    assert one.gain.low < 0.0 < one.gain.high


def test_what_was_played_is_not_played_again_and_other_rounds_are_others(tmp_path: Path) -> None:
    rounds = Rounds(np.zeros((3, 2, 1), np.float32), np.zeros((3, 2)), np.ones((3, 2), np.bool_))
    other = rounds._replace(reward=np.ones((3, 2)))
    assert fingerprint(rounds) != fingerprint(other)
    file = tmp_path / "kept"
    Kept(file).add("vw", 1, fingerprint(rounds), Means(0.25, 0.5))
    Kept(file).add("vw", 2, fingerprint(rounds), Means(0.5, 0.5))
    again = Kept(file)
    assert again.get("vw", 1, fingerprint(rounds)) == Means(0.25, 0.5)
    assert again.get("vw", 1, fingerprint(other)) is None
    nothing = Kept(None)
    nothing.add("vw", 1, "", Means(0.0, 0.0))
    assert nothing.get("vw", 1, "") is None


def test_the_demo_is_told_salt_by_salt_and_in_the_mean() -> None:
    def told(value: float | None) -> dict[str, Any]:
        ratio = {"value": value, "low": None if value is None else value - 0.1, "high": None}
        versus = {
            f"vs_{name}": {"redeemed": ratio, "opened": ratio}
            for name in ("random", "popular", "usual", "usual_six_hours", "supervised")
        }
        return {"second_half": versus, "whole": versus}

    rows = commands.demo_rows({"0": told(1.0), "1": told(2.0), "2": told(None)})
    assert [row[0] for row in rows] == ["0", "1", "2", "mean"]
    assert rows[0][1] == "1.00"
    assert rows[1][3] == "2.000 [1.900]"
    assert set(rows[2][1:]) == {"none"}
    assert set(rows[3][1:]) == {"1.500"}
    assert len(commands.DEMO_HEAD) == len(rows[0])


def test_a_claim_that_fails_is_seen() -> None:
    claims = {"sent_awake": {"value": 0.81, "target": 0.8, "is": "at least", "holds": True}}
    claims["pushes"] = {"value": None, "target": 0.01, "is": "at most", "holds": False}
    rows = commands.claim_rows({"night_shift": {"claims": claims}})
    assert rows[0] == ("night_shift", "sent awake", "0.81", "at least 0.8", "yes")
    assert rows[1] == ("night_shift", "pushes", "none", "at most 0.01", "**no**")
