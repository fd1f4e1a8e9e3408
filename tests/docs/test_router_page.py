"""docs/router.md and the code say the same: commands, options, fields, metrics, sources and the numbers in the text."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
import typer

from app.cli import COMMANDS
from app.core.asked import WINDOW
from app.core.chat import ChatRequest
from app.core.features import BUCKETS, COUNTERS
from app.routers import PLAIN, load_trained
from router_models import adapt, everyday, near, train
from router_models.card import ORIGINS, _origin
from router_models.data import DEV_SHARE, NEEDED, OWN_PAIR_ONLY, REQUEST_FIELDS, Pair, Row, read_pairs, row_of
from router_models.evaluate import LEAST, baselines, from_csv, measurable
from router_models.heads import HEADS
from router_models.metrics import METRICS
from tests.docs.pages import DOCS, blocks, rows, section, text, word, words
from tests.router_models import examples

PAGE = "router.md"
MODELS = DOCS.parent / "router_models"
DATA_CODE = (MODELS / "data.py").read_text("utf-8")
SHIPPED = {"bfcl", "lawbench", "llmrouter", "mmlu_pro", "routellm_mmlu", "everyday-"}


def plain(name: str) -> str:
    """The page or section on one line."""
    return " ".join((text(PAGE) if name == PAGE else section(PAGE, name)).split())


@pytest.mark.parametrize("command", ["train", "evaluate", "calibrate"])
def test_all_options(command: str) -> None:
    """Each option of the command is in its table, and no other."""
    told = {option for row in rows(PAGE, command.capitalize(), -1) for option in words(row[0])}
    function = next(one for one in COMMANDS if one.__name__ == command)
    program = typer.Typer(add_completion=False)
    program.command()(function)
    had = {name for parameter in typer.main.get_command(program).params for name in parameter.opts} - {"--help"}
    assert told == had


def test_metrics() -> None:
    """Each of a report, once."""
    assert [name for row in rows(PAGE, "Evaluate") for name in words(row[0])] == list(METRICS)


def test_fields_of_the_data() -> None:
    """Each field that reading looks at."""
    told = [name for row in rows(PAGE, "Labelled requests") for name in words(row[0])]
    read = set(re.findall(r"""item(?:\.get\(|\[)["'](\w+)|"(\w+)" in item""", DATA_CODE))
    assert set(told) == {name for pair in read for name in pair if name} | set(REQUEST_FIELDS)
    assert len(told) == len(set(told))


def test_the_examples_of_the_data_are_read() -> None:
    """Each line gives a labelled request that the gateway would take."""
    lines, pairs = blocks(PAGE, "json")
    found = [row_of(json.loads(line), "mine", Pair("small", "large")) for line in lines.splitlines()]
    assert [row.gain for row in found if row] == [1.0, 0.0, 1.0, 0.5]
    assert [row.needed for row in found if row] == [1.0, 0.0, 1.0, 1.0]
    assert [row.task for row in found if row] == ["mine", "mine", "tools", "mine"]
    assert all(ChatRequest("chat", dict(row.body)) for row in found if row)
    assert json.loads(pairs)


def test_the_example_of_pairs_is_read(tmp_path: Path) -> None:
    """With all four keys."""
    (tmp_path / "pairs.json").write_text(blocks(PAGE, "json")[1], "utf-8")
    assert read_pairs(tmp_path) == {"mine": Pair("small", "large", in_macro=True, ships=False)}


def test_the_example_of_scores_is_read(tmp_path: Path) -> None:
    """The CSV of another router."""
    (tmp_path / "scores.csv").write_text(blocks(PAGE, "csv")[0], "utf-8")
    asked: list[Row] = [examples.row("x", id=name) for name in ("r-8", "r-7")]
    assert from_csv(tmp_path / "scores.csv", asked).tolist() == [0.0417, 0.8125]
    assert "calculate_strong_win_rate" in section(PAGE, "Compare with another router")


def test_names_of_contributions() -> None:
    """What an explanation can show, and nothing else."""
    model = load_trained("default").model
    shown = {name for name, _ in model.explain({"messages": [{"role": "user", "content": "Prove it."}]})}
    told = [words(row[0]) for row in rows(PAGE, "Reading an explanation")]
    assert {name for names in told for name in names if name != "..."} <= shown
    assert shown - set(COUNTERS) == {"baseline", "words", "gate"} | {f"trees:{task}" for task in model.tasks}


def test_parts_of_the_model() -> None:
    """Heads, tasks, counters, buckets and the size of the window."""
    how = plain("How a score is made")
    assert [name for name in words(how) if name in HEADS][: len(HEADS)] == list(HEADS)
    assert {"math", "code", "tools", "everyday"} <= set(words(how)) & set(load_trained("default").model.tasks)
    assert f"gives {len(COUNTERS)} counters" in how
    assert f"{BUCKETS:,} buckets" in how
    assert f"about {WINDOW:,} bytes" in how
    assert f"at least {NEEDED} more" in how
    assert all(f"`{name}`" in how for name in PLAIN)


def test_numbers_in_the_text() -> None:
    """Limits and shares are the code's."""
    data = plain("Labelled requests")
    assert f"from {NEEDED} on" in data
    assert f"more than {near.THRESHOLD:g}".replace("0.", ".") in data
    assert f"{near.RUN}-word".replace("3", "three") in data
    assert f"about {DEV_SHARE} % go to `dev`" in data
    assert OWN_PAIR_ONLY == ("routellm_mmlu",)
    assert "Of `routellm_mmlu` only its own pair counts" in data
    assert f"needs {adapt.LEAST} labels in the train part" in plain("Train")
    assert f"from {train.LEAST} in the train part on" in plain("Train")
    assert f"fewer than {LEAST} labelled requests" in plain("Evaluate")


def test_baselines() -> None:
    """Those that stand beside every router."""
    known = measurable([examples.row(f"{number}", gain=float(number % 2)) for number in range(LEAST)])
    assert f"stand {', '.join(f'`{name}`' for name in ('random', 'length'))}" in plain("Evaluate")
    assert list(baselines(known)) == ["random", "length", "oracle"]


def test_sources() -> None:
    """Where each is from and its licence as the card says; those that ship are those of the packaged card."""
    told = rows(PAGE, "Where public data is had")
    assert {word(row[0]): (row[1], row[2]) for row in told} == dict(ORIGINS)
    assert {word(row[0]) for row in told if row[3] == "yes"} == SHIPPED
    card = json.loads((MODELS / "default" / "card.json").read_text("utf-8"))
    names = {origin: name for name, origin in ORIGINS.items()}
    assert {names[_origin(source)] for source in card["sources"]} == SHIPPED


def test_how_default_was_made() -> None:
    """The command's date is the card's, and the figures of our own requests are those of the file."""
    readme = (MODELS / "README.md").read_text("utf-8")
    card = json.loads((MODELS / "default" / "card.json").read_text("utf-8"))
    assert f"--ships --everyday --out router_models/default --date {card['date']}" in readme
    requests = everyday.read()
    each = set(Counter((one.kind, one.language) for one in requests).values())
    assert each == {31}
    flat = " ".join(readme.split())
    assert f"{len(requests):,} requests were written for this project" in flat
    assert f"{len({one.kind for one in requests})} kinds of work with 31 each in English and in Chinese" in flat
    assert len(everyday.TEST_KINDS) == 10
    assert "Ten kinds are kept apart" in flat
    around = sum(len(one.body["messages"]) > 1 for one in requests) / len(requests)
    assert round(around, 1) == 0.3
    assert "three in ten with earlier turns or a system prompt" in flat
