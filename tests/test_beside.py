"""Two folders beside one another: what is matched, the interval of a difference, and which settings
are named.
"""

import csv
import json
from collections.abc import Mapping
from dataclasses import replace
from math import sqrt
from pathlib import Path

import pytest
from cli_rows import invoke
from study_fakes import DATA

from raymia.report import beside
from raymia.report.beside import Mean, Pair
from raymia.results.folder import Folder
from raymia.results.row import Row
from raymia.study import sweep

TEXT = """
name: pair
dataset: {digits: {records: 120}}
network: {mlp: {width: 8}}
protocol: {coin: {models: 4, targets: 2, reserve: 0.2}}
defenses: [[], [relaxloss: {alpha: {low: 0.0, high: 2.0}}], [label_smoothing]]
attacks: [baseline, loss]
search: {trials: 6, repeats: 2}
"""


def folder(path: Path, made: list[tuple[int, float, float, float]], text: str = TEXT) -> Folder:
    """(arm, strength, accuracy, AUC) of each trial; the interval is 0.02 below to 0.04 above."""
    out, asked = Folder(path), sweep.parse(text)
    out.write_sweep(sweep.dump(asked.resolved()))
    for i, (arm, alpha, accuracy, auc) in enumerate(made):
        knobs = {"relaxloss.alpha": alpha} if arm == 1 else asked.default(arm)
        point = asked.point(arm, knobs, i, DATA)
        numbers: dict[str, float | None] = {}
        for name, value in (("test_accuracy", accuracy), ("max_attack_auc", auc)):
            numbers |= {name: value, f"{name}_lo": value - 0.02, f"{name}_hi": value + 0.04}
        out.write(
            Row(
                i,
                point.digest(),
                "0" * 8,
                "done",
                "",
                point.to_json(),
                "digits",
                "mlp",
                point.defense,
                dict(point.knobs),
                0,
                4,
                2,
                numbers=numbers,
            )  # fmt: skip
        )
    return out


def rows(*folders: Folder) -> list[Mapping[str, str]]:
    done = invoke("compare", *(str(one.path) for one in folders), "--csv")
    assert done.exit_code == 0, done.output
    return list(csv.DictReader(done.stdout.splitlines()))


def test_an_interval_of_a_difference_by_hand() -> None:
    """Newcombe 1998, table II (a): 56/70 and 48/80 by method 10: 0.0524 to 0.3339."""
    first, second = _wilson(48, 80), _wilson(56, 70)
    found = Pair("none", "test_accuracy", first, second, "").difference
    assert found == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    back = Pair("none", "test_accuracy", second, first, "").difference
    assert back == pytest.approx((-0.2, -0.3339, -0.0524), abs=5e-5)


def _wilson(hits: int, of: int, z: float = 1.959964) -> Mean:
    p = hits / of
    half = z * sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    ends = [(p + z * z / (2 * of) + side * half) / (1 + z * z / of) for side in (-1, 1)]
    return Mean("", 1, p, *ends)


@pytest.mark.parametrize("end", ["value", "low", "high"])
def test_there_is_no_difference_without_an_interval(end: str) -> None:
    whole = Mean("", 1, 0.5, 0.4, 0.6)
    for a, b in ((whole, replace(whole, **{end: None})), (replace(whole, **{end: None}), whole)):  # type: ignore[arg-type]
        assert Pair("none", "x", a, b, "").difference == (None, None, None)


def test_the_same_strength_is_compared_and_else_the_most_accurate(tmp_path: Path) -> None:
    a = folder(tmp_path / "a", [(0, 0, 0.9, 0.7), (1, 0.5, 0.8, 0.6), (1, 1.0, 0.7, 0.55)])
    b = folder(tmp_path / "b", [(0, 0, 0.8, 0.8), (1, 1.0, 0.75, 0.5), (2, 0, 0.6, 0.6)])
    found = {(one["defense"], one["column"]): one for one in rows(a, b)}
    assert len(found) == 4, "two defenses that both have, two numbers each"
    one = found["relaxloss", "test_accuracy"]
    assert (one["a_knobs"], one["a_value"], one["b_value"]) == ("alpha=1", "0.7", "0.75")
    assert float(one["difference"]) == pytest.approx(0.05) and one["note"] == ""
    # B's way down and A's way up, then B's way up and A's way down
    assert float(one["difference_lo"]) == pytest.approx(0.05 - sqrt(0.02**2 + 0.04**2))
    assert float(one["difference_hi"]) == pytest.approx(0.05 + sqrt(0.04**2 + 0.02**2))
    bare = found["none", "max_attack_auc"]
    assert float(bare["difference"]) == pytest.approx(0.1)
    c = folder(tmp_path / "c", [(1, 1.5, 0.6, 0.5), (1, 1.8, 0.65, 0.52)])
    (accuracy, _) = rows(a, c)
    assert (accuracy["a_knobs"], accuracy["b_knobs"]) == ("alpha=0.5", "alpha=1.8")
    assert "other strengths" in accuracy["note"]
    said = invoke("compare", str(a.path), str(b.path)).stdout
    assert "only in B: label_smoothing" in said and "are the same" in said
    assert said.index("fronts:") < said.index("B less A")


def test_several_runs_are_one_point_with_the_interval_over_them(tmp_path: Path) -> None:
    a = folder(tmp_path / "a", [(0, 0, 0.9, 0.7), (0, 0, 0.8, 0.72)])
    b = folder(tmp_path / "b", [(0, 0, 0.6, 0.7)])
    accuracy = rows(a, b)[0]
    assert (accuracy["a_runs"], accuracy["b_runs"]) == ("2", "1")
    assert float(accuracy["a_value"]) == pytest.approx(0.85)
    # 12.706 standard errors of two runs, cut off at what an accuracy can be
    assert float(accuracy["a_lo"]) == pytest.approx(0.85 - 12.706 * 0.05, abs=1e-3)
    assert accuracy["a_hi"] in ("1", "1.0")


def test_what_was_set_otherwise_comes_first(tmp_path: Path) -> None:
    a = folder(tmp_path / "a", [(0, 0, 0.9, 0.7)])
    far = "lira: {mode: online, centre: mean, variance: shrunken}"
    texts = {
        "attacks": TEXT.replace("loss]", f"loss, lira, rmia, entropy, {far}]"),
        "network": TEXT.replace("width: 8", "width: 16"),
        "protocol": TEXT.replace("models: 4", "models: 6"),
        "training": f"{TEXT}training: {{epochs: 3}}\n",
        "seed": TEXT.replace("repeats: 2", "repeats: 2, seed: 5"),
    }
    for name, text in texts.items():
        other = folder(tmp_path / name, [(0, 0, 0.9, 0.7)], text)
        body = json.loads(invoke("compare", str(a.path), str(other.path), "--json").stdout)
        assert [one["setting"] for one in body["settings"]] == [name]
        said = invoke("compare", str(a.path), str(other.path))
        assert said.stdout.index("set otherwise") < said.stdout.index("fronts:")
        assert name in invoke("compare", str(a.path), str(other.path), "--csv").stderr
    # what differs far behind in a long list is no less different
    near = folder(tmp_path / "near", [(0, 0, 0.9, 0.7)], texts["attacks"])
    last = texts["attacks"].replace("shrunken", "bayes")
    behind = folder(tmp_path / "behind", [(0, 0, 0.9, 0.7)], last)
    found = beside.differing(beside.Side.of(near), beside.Side.of(behind))
    assert [name for name, *_ in found] == ["attacks"]


def test_other_records_are_named(tmp_path: Path) -> None:
    a = folder(tmp_path / "a", [(0, 0, 0.9, 0.7)])
    side = beside.Side.of(a)
    moved = replace(side.rows[0], point=side.rows[0].point | {"data": "f" * 64})
    assert side.settings["data"] == side.rows[0].point["data"][:16]
    other = Folder(tmp_path / "b")
    other.write_sweep(a.read_sweep() or "")
    other.write(replace(moved, digest=moved.as_point.digest()))
    assert [name for name, *_ in beside.differing(side, beside.Side.of(other))] == ["data"]


def test_it_refuses_what_has_nothing_to_compare(tmp_path: Path) -> None:
    a = folder(tmp_path / "a", [(0, 0, 0.9, 0.7)])
    empty = folder(tmp_path / "empty", [])
    for places, why in (
        ((a, empty), "no finished trial"),
        ((empty, a), "no finished trial"),
        ((a, Folder(tmp_path / "none")), "is it a results folder?"),
        ((a,), "a second folder"),
    ):
        done = invoke("compare", *(str(one.path) for one in places))
        assert done.exit_code == 2 and why in done.stderr and done.stderr.count("\n") == 1
    assert invoke("compare", str(a.path), str(a.path), "--json", "--csv").exit_code == 2
