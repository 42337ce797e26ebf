"""`welltimed evaluate` on files: what it tells, and what it refuses in words."""

import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from service.cli import main
from tests.unit import logged_world

NAMES = ("ips", "snips", "clipped_ips", "dm", "dr", "switch_dr")


class Files:
    def __init__(self, folder: Path, rows: int = 2_000) -> None:
        self.log, self.target = folder / "log.npz", folder / "target.npz"
        log, target = logged_world.logged(np.random.default_rng(1), rows)
        self.arrays: dict[str, Any] = {
            "context": log.context, "action": log.action, "reward": log.reward, "pscore": log.pscore,
            "n_actions": log.n_actions,
        }  # fmt: skip
        self.action_dist = target
        self.write()

    def write(self, action_dist: Any = None, **changed: Any) -> None:
        np.savez(self.log, **{name: value for name, value in (self.arrays | changed).items() if value is not None})
        np.savez(self.target, action_dist=self.action_dist if action_dist is None else action_dist)

    def evaluate(self, *options: str) -> Result:
        return CliRunner().invoke(main, ["evaluate", str(self.log), "--target", str(self.target), *options])

    def refused(self) -> str:
        result = self.evaluate("--json")
        assert result.exit_code == 1, result.output
        assert result.stdout == ""
        assert result.stderr.startswith("welltimed: ")
        assert "Traceback" not in result.stderr
        return result.stderr.removeprefix("welltimed: ")


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_json(files: Files) -> None:
    told = json.loads(files.evaluate("--json").output)
    weight = files.action_dist[np.arange(2_000), files.arrays["action"]] / files.arrays["pscore"]
    reward = files.arrays["reward"]
    assert told["ips"]["value"] == pytest.approx((weight * reward).mean())
    assert told["snips"]["value"] == pytest.approx((weight * reward).sum() / weight.sum())
    assert told["ess"] == pytest.approx(weight.sum() ** 2 / (weight**2).sum())
    assert (told["max_weight"], told["mean_weight"]) == pytest.approx((weight.max(), weight.mean()))
    assert told["rows"] == 2_000
    for name in NAMES:
        assert told[name]["low"] < told[name]["value"] < told[name]["high"]
        assert set(told["empirical_bernstein"][name]) == {"low", "high"}
    assert told["trustworthy"] is True
    assert told["reasons"] == []
    assert "slate" not in told


def test_table(files: Files) -> None:
    text = files.evaluate().output
    assert all(f"\n{name} " in text for name in NAMES)
    assert "trustworthy: yes" in text
    files.write(pscore=np.where(np.arange(2_000) == 3, 1e-6, files.arrays["pscore"]))
    text = files.evaluate().output
    assert "trustworthy: NO\n  - the 2,000 rows tell as much as 1.0 rows" in text


def test_slates_and_obps_shape_of_the_target(files: Files) -> None:
    files.write(np.repeat(files.action_dist[:, :, None], 2, axis=2), position=np.arange(2_000) % 2)
    told = json.loads(files.evaluate("--json").output)
    assert told["slate"]["dr"]["value"] == pytest.approx(2 * told["dr"]["value"], rel=0.1)
    assert "of a whole slate" in files.evaluate().output


def test_options_change_what_they_say(files: Files) -> None:
    plain = json.loads(files.evaluate("--json").output)
    wide = json.loads(files.evaluate("--json", "--confidence", "0.99", "--weight-max", "500").output)
    assert wide["ips"]["low"] < plain["ips"]["low"]
    assert wide["bounds"] == {"weight_max": 500.0, "reward_low": 0.0, "reward_high": 1.0}
    assert wide["empirical_bernstein"]["ips"]["high"] > plain["empirical_bernstein"]["ips"]["high"]
    assert json.loads(files.evaluate("--json").output) == plain
    assert files.evaluate("--weight-max", "1").exit_code == 1
    assert files.evaluate("--reward-range", "1", "0").exit_code == 1
    assert files.evaluate("--confidence", "2").exit_code == 2


def test_what_the_log_does_not_tell_is_null(files: Files) -> None:
    never = np.zeros_like(files.action_dist)
    never[np.arange(2_000), (files.arrays["action"] + 1) % 4] = 1.0
    files.write(never)
    told = json.loads(files.evaluate("--json").output)
    assert told["snips"] == {"value": None, "low": None, "high": None}
    assert told["trustworthy"] is False
    assert "?" in files.evaluate().output


def test_wrong_arrays_are_named(files: Files) -> None:
    files.write(pscore=None)
    assert files.refused() == "pscore: missing\n"
    files.write(pscore=np.zeros(2_000))
    assert "pscore: 0 in row 0 is not in (0, 1]" in files.refused()
    files.write(files.action_dist[:-1])
    assert "action_dist: shape (1999, 4)" in files.refused()
    files.write(position=np.array(None))
    assert "position: holds Python objects" in files.refused()
    files.write()
    np.savez(files.target, something=np.zeros(3))
    assert files.refused() == "action_dist: missing in target.npz\n"


def test_nothing_is_unpickled(files: Files, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "sprung",))

    files.write(context=np.array([Trap()], object))
    assert "context: holds Python objects" in files.refused()
    files.log.write_bytes(pickle.dumps(Trap()))
    assert "log.npz: no npz file" in files.refused()
    assert not (tmp_path / "sprung").exists()


def test_a_shape_that_the_file_does_not_hold_is_not_allocated(files: Files) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)})
    with zipfile.ZipFile(files.target, "w") as archive:
        archive.writestr("action_dist.npy", header.getvalue() + b"0" * 80)
    assert "action_dist: shape (1000000000000,) is more than the file holds" in files.refused()


def test_damaged_compression_is_refused(files: Files) -> None:
    np.savez_compressed(files.log, **files.arrays)
    content = bytearray(files.log.read_bytes())
    content[5_000:5_400] = b"\xff" * 400
    files.log.write_bytes(content)
    assert "log.npz: no npz file" in files.refused()


@pytest.mark.parametrize("cut", [0, 10, 3_000, -40])
def test_a_damaged_file_is_refused(files: Files, cut: int) -> None:
    files.log.write_bytes(files.log.read_bytes()[:cut])
    assert "log.npz: no npz file" in files.refused()


def test_changed_bytes_are_refused(files: Files) -> None:
    content = bytearray(files.log.read_bytes())
    content[2_000:2_010] = b"\0" * 10
    files.log.write_bytes(content)
    assert "CRC" in files.refused()


def test_files_that_are_not_there_are_wrong_usage(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["evaluate", str(tmp_path / "no.npz"), "--target", str(tmp_path / "no.npz")])
    assert result.exit_code == 2
    assert CliRunner().invoke(main, ["evaluate", "--help"]).exit_code == 0


def test_the_example_of_the_page_is_what_comes_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text()
    code, told = (
        page.split("```python\n")[1].split("```")[0],
        page.split("--target target.npz\n")[1].split("\n\nThe direct")[0],
    )
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    given = CliRunner().invoke(main, ["evaluate", "log.npz", "--target", "target.npz"]).output
    for expected, line in zip(told.splitlines(), given.splitlines(), strict=True):
        for word, number in zip(expected.split(), line.split(), strict=True):
            if word.startswith("0."):
                assert float(number) == pytest.approx(float(word), abs=0.0005)
            else:
                assert number == word
