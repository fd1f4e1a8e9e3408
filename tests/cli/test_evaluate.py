"""`smallfirst evaluate`: any router on labelled requests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from router_models.metrics import METRICS
from tests.cli.conftest import Result
from tests.router_models import examples

Run = Callable[..., Result]


@pytest.fixture
def data(directory: Path) -> Path:
    (directory / "data").mkdir()
    return examples.write(directory / "data")


def test_a_table_for_people(smallfirst: Run, data: Path) -> None:
    """A line for each source, the mean over them, all together, and each baseline; progress goes to stderr."""
    result = smallfirst("evaluate", "--data", "data", "--ships", "--model", "length", "--rounds", "20")
    assert result.code == 0
    names = [line[:20].strip() for line in result.out.splitlines()]
    assert names[:5] == ["", "tiny_en", "tiny_zh", "macro", "pooled"]
    assert names[5:] == ["random, macro", "random, pooled", "oracle, macro", "oracle, pooled"]
    assert "evaluate: routers measured (3/3)" in result.err


def test_json_on_stdout(smallfirst: Run, data: Path) -> None:
    """With `--json -` the report is all that stdout gets; nan is null there."""
    result = smallfirst("evaluate", "-d", "data", "--ships", "--split", "dev", "--rounds", "20", "--json", "-")
    report = json.loads(result.out, parse_constant=pytest.fail)
    assert result.code == 0
    assert report.keys() == {"router", "n", "macro", "pooled", "sources", "baselines"}
    assert report["router"] == "default"
    assert report["sources"].keys() == {"tiny_en", "tiny_zh"}
    assert report["sources"]["tiny_en"].keys() == {"n", *METRICS}
    assert report["baselines"].keys() == {"random", "length", "oracle"}
    # The pairs.json of the examples keeps the Chinese ones out of the mean.
    assert report["macro"]["apgr"]["value"] == report["sources"]["tiny_en"]["apgr"]["value"]


def test_json_and_picture_as_files(smallfirst: Run, data: Path) -> None:
    """The table is printed all the same."""
    arguments = ("--model", "random", "--rounds", "20", "--json", "report.json", "--plot", "curve.png")
    result = smallfirst("evaluate", "-d", "data/tiny_en.jsonl.gz", *arguments)
    assert result.code == 0
    assert "pooled" in result.out
    assert json.loads(Path("report.json").read_text("utf-8"))["router"] == "random"
    assert Path("curve.png").read_bytes().startswith(b"\x89PNG")


def test_other_routers_on_the_same_requests(smallfirst: Run, data: Path) -> None:
    """Scores from anywhere by a CSV, and routers of ours by name; a source can be left out of the means."""
    rows = [f"{item['id']},{item['scores']['large-70b'] - item['scores']['small-7b']}\n" for item in questions()]
    Path("theirs.csv").write_text("id,score\n" + "".join(rows), "utf-8")
    others = ("--other", "theirs=theirs.csv", "--other", "length", "--outside", "tiny_en")
    result = smallfirst("evaluate", "-d", "data", "--ships", "-m", "constant", *others, "--rounds", "20", "--json", "-")
    report = json.loads(result.out)
    assert list(report["baselines"]) == ["theirs", "length", "random", "oracle"]
    theirs = report["baselines"]["theirs"]["sources"]["tiny_en"]
    assert theirs["apgr"] == report["baselines"]["oracle"]["sources"]["tiny_en"]["apgr"]
    assert theirs["auroc"]["value"] == 1.0
    assert report["sources"]["tiny_en"]["apgr"]["value"] == 0.5


def questions() -> list[dict[str, object]]:
    return [one for source, lang in (("tiny_en", "en"), ("tiny_zh", "zh")) for one in examples.questions(source, lang)]


def test_models_are_named_where_no_file_does(smallfirst: Run, directory: Path) -> None:
    """A file without pairs.json needs --slm and --llm; patterns will do, and so will a completion request."""
    items = [{"request": {"prompt": one["prompt"]}, "scores": one["scores"]} for one in examples.questions("x", "en")]
    examples.jsonl(Path("own.jsonl"), items)
    told = smallfirst("evaluate", "-d", "own.jsonl", "--rounds", "20")
    assert (told.code, told.out) == (2, "")
    result = smallfirst("evaluate", "-d", "own.jsonl", "--rounds", "20", "--slm", "small-*", "--llm", "large-*")
    assert result.code == 0
    assert "own" in result.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--data"),
        (("-d", "none"), "none does not exist"),
        (("-d", "data", "--ships", "--model", "nowhere"), "Cannot read card.json of the router in nowhere"),
        (("-d", "data", "--ships", "--split", "test"), "of the split 'test'"),
        (("-d", "data", "--ships", "--other", "x=none.csv"), "none.csv"),
        (("-d", "data", "--ships", "--other", "x=bad.csv"), "no score for 260 of 260 requests"),
        (("-d", "data", "--ships", "--json", "nowhere/r.json"), "nowhere/r.json: cannot be written"),
        (("-d", "data", "--ships", "--plot", "nowhere/p.png"), "nowhere/p.png: cannot be written"),
        (("-d", "data", "--ships", "--rounds", "1"), "--rounds"),
        (("-d", "data"), "secret.jsonl.gz"),
        (("-d", "even.jsonl", "--plot", "p.png"), "no better than the small one"),
        (("-d", "few.jsonl"), "too few"),
        (("-d", "odd.jsonl"), "none that the gateway would take"),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, tuple) else None,
)
def test_bad_input_exits_2(smallfirst: Run, data: Path, arguments: tuple[str, ...], said: str) -> None:
    """The message names what is wrong, and no traceback follows."""
    Path("bad.csv").write_text("id,score\n", "utf-8")
    verdicts = [{"prompt": f"why {n}", "verdict": 0} for n in range(20)]
    examples.jsonl(Path("even.jsonl"), verdicts)
    examples.jsonl(Path("few.jsonl"), verdicts[:3])
    examples.jsonl(Path("odd.jsonl"), [{"request": {"messages": [{"role": 5}]}, "verdict": 1}] * 20)
    result = smallfirst("evaluate", "--model", "length", *arguments)
    assert result.code == 2
    assert said in " ".join(result.err.split())
    assert "Traceback" not in result.err
    assert result.out == ""
