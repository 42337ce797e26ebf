"""What operators start from names only what the program has: metrics, labels, settings, commands; and the page tells of every metric."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from service.telemetry import REGISTRY

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "operations.md"
FILES: Final = ROOT / "docs" / "operations"
NAME: Final = re.compile(r"\bwelltimed_[a-z0-9_]+")
SELECTED: Final = re.compile(r"\b(welltimed_[a-z0-9_]+)\{([^}]*)\}")
BY: Final = re.compile(r"\bby \(([^)]*)\)")
SERIES: Final = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
ADDED: Final = {"worker", "le", "job"}


def families() -> dict[str, tuple[str, frozenset[str]]]:
    """Type and labels of each metric, by the name under which it is exposed."""
    found = {}
    for metric in REGISTRY._collector_to_names:
        (family,) = metric.describe()
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found[name] = (family.type, frozenset(metric._labelnames))
    return found


def series() -> dict[str, frozenset[str]]:
    """Labels of everything that can be asked for."""
    return {
        name.removesuffix("_total") + ending: labels
        for name, (kind, labels) in families().items()
        for ending in SERIES[kind]
    }


def assert_asks_for_what_is_there(query: str) -> None:
    known = series()
    names = NAME.findall(query)
    assert set(names) <= known.keys(), query
    labels = {"job"}.union(*(known[name] for name in names)) | ADDED
    for by in BY.findall(query):
        assert {label.strip() for label in by.split(",")} <= labels, query
    for name, selectors in SELECTED.findall(query):
        asked = {one.partition("=")[0].rstrip("!~ ") for one in selectors.split(",")}
        assert asked <= known[name] | ADDED, query
    for opening, closing in ("()", "{}", "[]"):
        assert query.count(opening) == query.count(closing), query
    # A counter says something only by how it grows.
    for name in names:
        if name.endswith("_total"):
            assert re.search(rf"(rate|increase)\({name}", query), query


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((FILES / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_what_is_there_and_says_what_to_do(rule: dict[str, Any]) -> None:
    assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"Welltimed[A-Za-z]+", rule["alert"])
    assert_asks_for_what_is_there(rule["expr"])
    assert re.search(r"==|>|<|absent", rule["expr"])
    assert re.fullmatch(r"\d+[smh]", rule.get("for", "0s"))
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"].keys() == {"summary", "action"}
    for label in re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]):
        assert re.search(rf"by \([^)]*{label}", rule["expr"])
    assert set(NAME.findall(rule["annotations"]["action"])) <= series().keys()


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_what_an_alert_counts_is_there_before_it_happens(rule: dict[str, Any]) -> None:
    """The first of a kind makes its series appear, and `increase` of a series that appears is 0."""
    for name, what in re.findall(r"increase\((welltimed_[a-z_]+)\{what=\"([a-z_]+)\"\}", rule["expr"]):
        assert REGISTRY.get_sample_value(name, {"what": what}) is not None, rule["expr"]


def test_alerts_have_names_of_their_own() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names)) >= 10


def queries() -> Iterator[str]:
    for panel in json.loads((FILES / "grafana.json").read_text())["panels"]:
        yield from (target["expr"] for target in panel["targets"])


def test_the_dashboard_asks_for_what_is_there_and_shows_every_metric() -> None:
    asked = list(queries())
    for query in asked:
        assert_asks_for_what_is_there(query)
    shown = {name for query in asked for name in NAME.findall(query)}
    missing = [name for name, (kind, _) in families().items() if not shown & {name, f"{name}_bucket"} and kind]
    assert missing == []


def test_panels_of_the_dashboard_do_not_overlap() -> None:
    places = [panel["gridPos"] for panel in json.loads((FILES / "grafana.json").read_text())["panels"]]
    cells = [
        (x, y)
        for one in places
        for x in range(one["x"], one["x"] + one["w"])
        for y in range(one["y"], one["y"] + one["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_the_page_tells_of_every_metric_its_type_labels_and_unit() -> None:
    told = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `welltimed_") and len(cells) == 5:
            told[cells[0].strip("`")] = (cells[1], frozenset(re.findall(r"`(\w+)`", cells[2])))
            assert cells[3]
            assert cells[4]
    assert told == families()
    assert set(NAME.findall(PAGE.read_text())) <= series().keys() | families().keys()
