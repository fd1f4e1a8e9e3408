"""Measuring routers: the shape of the report, what any router must beat, and what cannot be measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.errors import ConfigError
from router_models.data import Row
from router_models.evaluate import LEAST, Rows, auroc_by, evaluate, finite, from_csv, measurable, scored
from router_models.metrics import METRICS
from tests.router_models import examples


def made(source: str, count: int, gains: tuple[float, ...] = (0.0, 1.0, 0.5, -0.5)) -> list[Row]:
    """Requests of different lengths whose gain goes round; the longer ones are not the better ones to send."""
    return [
        examples.row("why " * (1 + n * 7 % 13), source=source, id=f"{source}/{n}", gain=gains[n % len(gains)])
        for n in range(count)
    ]


ROWS = measurable([*made("big", 60), *made("small", 20, (1.0, 0.0)), *made("tiny", LEAST - 1)])
SCORES = np.linspace(0.0, 1.0, len(ROWS.rows))


def report(scores: Any = SCORES, rows: Rows = ROWS, **others: Any) -> dict[str, Any]:
    return evaluate({"mine": scores, **others}, rows, rounds=20)


def test_the_shape_of_a_report() -> None:
    """Macro, pooled and each source, every metric with its interval, and the same of each baseline."""
    found = report()
    assert found.keys() == {"router", "n", "macro", "pooled", "sources", "baselines"}
    assert (found["router"], found["n"]) == ("mine", len(ROWS.rows))
    assert {name: one["n"] for name, one in found["sources"].items()} == {"big": 60, "small": 20}
    assert list(found["baselines"]) == ["random", "length", "oracle"]
    for part in (found, *found["baselines"].values()):
        for figures in (part["macro"], part["pooled"], *part["sources"].values()):
            assert figures.keys() - {"n"} == set(METRICS)
            assert all(figures[name].keys() == {"value", "low", "high"} for name in METRICS)


def test_a_report_is_json() -> None:
    """What has no meaning, such as how far lengths are probabilities, is null."""
    text = json.dumps(finite(report()), allow_nan=False)
    assert json.loads(text)["baselines"]["length"]["pooled"]["ece"] == {"value": None, "low": None, "high": None}


def test_chance_recovers_half_and_the_oracle_all_there_is() -> None:
    """Random has an APGR of .5 and recovers 5 % with 5 %; the oracle's share of itself is 1."""
    baselines = report()["baselines"]
    for part in ("macro", "pooled"):
        random, oracle = baselines["random"][part], baselines["oracle"][part]
        assert random["apgr"]["value"] == pytest.approx(0.5)
        assert random["pgr5"]["value"] == pytest.approx(0.05)
        assert random["auroc"] == {"value": 0.5, "low": 0.5, "high": 0.5}
        assert oracle["pgr5_of_oracle"]["value"] == pytest.approx(1.0)
        assert oracle["pgr10_of_oracle"]["value"] == pytest.approx(1.0)
        assert oracle["apgr"]["value"] > report()[part]["apgr"]["value"]


def test_length_is_that_of_the_words() -> None:
    """A router that counts characters is the baseline, whatever else the body holds."""
    lengths = scored(lambda body: float(len(body["messages"][0]["content"])), ROWS.rows)
    found = finite(report(lengths))
    assert found["pooled"] == found["baselines"]["length"]["pooled"]


def test_macro_is_the_mean_of_the_sources() -> None:
    """A source of sixty rows and one of twenty count alike; pooled, they count by rows."""
    found = report()
    each = [one["apgr"]["value"] for one in found["sources"].values()]
    assert found["macro"]["apgr"]["value"] == pytest.approx(np.mean(each))
    assert found["pooled"]["apgr"]["value"] != pytest.approx(np.mean(each))
    low, value, high = (found["macro"]["apgr"][name] for name in ("low", "value", "high"))
    assert low < value < high


def test_macro_leaves_out_what_has_no_meaning() -> None:
    """A source where the large model is no better has no PGR, and the others have a mean still."""
    rows = measurable([*made("big", 60), *made("even", 20, (0.0,))])
    found = finite(report(np.linspace(0.0, 1.0, 80), rows))
    assert found["sources"]["even"]["apgr"]["value"] is None
    assert found["macro"]["apgr"]["value"] == found["sources"]["big"]["apgr"]["value"]


def test_sources_outside_are_measured_alone() -> None:
    """They have their figures, and neither macro nor pooled know them."""
    together = measurable([*made("big", 60), *made("foreign", 30)], frozenset({"foreign"}))
    scores = np.linspace(0.0, 1.0, 90)
    found, alone = report(scores, together), report(scores[:60], measurable(made("big", 60)))
    assert set(found["sources"]) == {"big", "foreign"}
    assert found["pooled"] == alone["pooled"]
    assert found["macro"] == alone["macro"]


def test_if_all_are_outside_they_count_among_themselves() -> None:
    """Asked about one source alone, its figures are the macro mean."""
    rows = measurable(made("foreign", 30), frozenset({"foreign"}))
    assert rows.macro == ("foreign",)


def test_other_routers_stand_beside_the_baselines() -> None:
    """Each has its figures, on the same rows and draws."""
    found = report(theirs=SCORES)
    assert list(found["baselines"]) == ["theirs", "random", "length", "oracle"]
    assert found["baselines"]["theirs"]["pooled"] == found["pooled"]


def test_a_router_with_a_baselines_name_is_itself() -> None:
    """Measuring the router `length` measures its scores, and does not put the baseline in their place."""
    found = evaluate({"length": SCORES, "random": SCORES}, ROWS, rounds=20)
    assert found["router"] == "length"
    assert found["pooled"] == report()["pooled"] == found["baselines"]["random"]["pooled"]
    assert list(found["baselines"]) == ["random", "oracle"]


def test_progress_is_told() -> None:
    """From the first router to the last."""
    told: list[tuple[int, int]] = []
    evaluate({"mine": SCORES}, ROWS, 20, lambda done, total: told.append((done, total)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_rows_without_both_scores_are_left_out() -> None:
    """Requests of which only a rating is known cannot be measured here; none at all is an error that says the cure."""
    rated = examples.row("hi", everyday=0.5)
    assert len(measurable([*made("big", 20), rated]).rows) == 20
    with pytest.raises(ConfigError, match="--slm and --llm"):
        measurable([rated])


def test_too_few_rows_are_refused() -> None:
    """No source with enough of them has no figures."""
    with pytest.raises(ConfigError, match="too few"):
        measurable(made("tiny", LEAST - 1))


def csv(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def test_scores_of_any_other_router(tmp_path: Path) -> None:
    """A CSV with id and score, in any order and with more columns, gives the scores in the order of the rows."""
    rows = made("big", 3)
    path = csv(tmp_path / "s.csv", "score,who,id\n0.3,x,big/2\n0.1,x,big/0\n9,x,other\n0.2,x,big/1\n")
    assert from_csv(path, rows).tolist() == [0.1, 0.2, 0.3]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,score\nbig/0,0.1\n", "no score for 2 of 3 requests, e.g. 'big/1'"),
        ("id,points\nbig/0,0.1\n", "columns id and score"),
        ("name,score\nbig/0,0.1\n", "columns id and score"),
        ("id,score\nbig/0,high\n", "columns id and score"),
        ("id,score\nbig/0\n", "columns id and score"),
        ("id,score\nbig/0,nan\n", "'big/0' is no finite number"),
        ("id,score\nbig/0,inf\n", "'big/0' is no finite number"),
        ("", "no score for 3 of 3"),
        (f'id,score\n"{"x" * 200_000}",1\n', "columns id and score"),
    ],
)
def test_a_file_that_gives_no_scores(tmp_path: Path, text: str, said: str) -> None:
    """The error names the file and what it lacks."""
    with pytest.raises(ConfigError, match=said) as raised:
        from_csv(csv(tmp_path / "s.csv", text), made("big", 3))
    assert "s.csv" in str(raised.value)


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    """Neither is a traceback."""
    (tmp_path / "s.csv").write_bytes(b"\xff\xfe\x00")
    for name in ("none.csv", "s.csv"):
        with pytest.raises(ConfigError, match=name):
            from_csv(tmp_path / name, made("big", 3))


def test_auroc_by_part() -> None:
    """Each part by its own rows, with n and interval."""
    scores, labels = np.array([0.9, 0.1, 0.2, 0.8] * 10), np.array([1.0, 0.0, 1.0, 0.0] * 10)
    first = np.tile([True, True, False, False], 10)
    found = auroc_by(scores, labels, {"right": first, "wrong": ~first}, rounds=20)
    assert found["right"] == {"n": 20, "value": 1.0, "low": 1.0, "high": 1.0}
    assert found["wrong"] == {"n": 20, "value": 0.0, "low": 0.0, "high": 0.0}
