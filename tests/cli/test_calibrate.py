"""`smallfirst calibrate`: the threshold for a share, from labels or records, into a config."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from app.settings import Source
from app.stores.sqlite import Keeping, SqliteRecords
from tests.cli.conftest import Result
from tests.router_models import examples
from tests.telemetry.examples import a_record

Run = Callable[..., Result]

CONFIG = """\
backends:
  small: {kind: ollama, zone: local, base_url: "http://127.0.0.1:11434", model: "qwen3:4b", price: unpriced}
  large: {kind: openai, zone: remote, base_url: "http://127.0.0.1:8000", model: large, price: unpriced}
tiers: [{name: slm, backends: [small]}, {name: llm, backends: [large]}]
routing:
  # llm_share: 0.2 was too much
  llm_share: 0.05   # for now
"""


@pytest.fixture
def records(directory: Path) -> Path:
    """Two hundred requests with scores from 0 to .995, as a gateway keeps them."""
    path = directory / "records.db"
    store = SqliteRecords(Keeping(path), lambda: 0.0, print)
    for number in range(200):
        store.on_settled(a_record(score=number / 200))
    store.close()
    return path


def test_from_records(smallfirst: Run, records: Path) -> None:
    """The threshold, the share it sends, its interval and a histogram with the place of the threshold."""
    result = smallfirst("calibrate", "--records", "records.db", "--llm-share", "0.1")
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[0] == "threshold 0.9000 for a share of 10.0%"
    assert lines[1].startswith("share on these 200 requests 10.0%, on others like them [")
    assert len(lines) == 2 + 20
    assert [line for line in lines if line.endswith("<- threshold")] == [lines[-2]]


def test_from_labels(smallfirst: Run, directory: Path) -> None:
    """Labels say beside it what part of the gap it recovers; only the dev part is taken unless another is named."""
    examples.write(directory)
    arguments = ("--data", "tiny_en.jsonl.gz", "--data", "tiny_zh.jsonl.gz", "--model", "length", "--llm-share", "0.5")
    found = json.loads(smallfirst("calibrate", *arguments, "--json").out)
    assert found["rows"] == 38
    assert 0.4 < found["share"] < 0.7
    assert found["pgr_interval"][0] <= found["pgr"] <= found["pgr_interval"][1]
    assert sum(found["histogram"]) == 38
    assert json.loads(smallfirst("calibrate", *arguments, "--split", "all", "--json").out)["rows"] == 260
    assert "of the gap" in smallfirst("calibrate", *arguments).out


def test_routellms_names_are_known(smallfirst: Run, records: Path) -> None:
    """What people know from RouteLLM's own command works here."""
    found = smallfirst("calibrate", "--records", "records.db", "--routers", "default", "--strong-model-pct", "0.5")
    assert found.code == 0
    assert "for a share of 50.0%" in found.out


def test_the_threshold_is_written(smallfirst: Run, records: Path) -> None:
    """One setting of the config changes, comments stay, the diff is on stderr, and the config loads."""
    path = Path("gateway.yaml")
    path.write_bytes(CONFIG.replace("\n", "\r\n").encode())
    result = smallfirst("calibrate", "--records", "records.db", "--llm-share", "0.1", "--write", str(path), "--json")
    assert result.code == 0
    assert json.loads(result.out)["threshold"] == 0.9
    wanted = CONFIG.replace("llm_share: 0.05   # for now", "threshold: 0.9   # for now")
    assert path.read_bytes() == wanted.replace("\n", "\r\n").encode()
    changes = [line for line in result.err.splitlines() if line[:1] in "+-"]
    assert changes == [
        "--- a/gateway.yaml",
        "+++ b/gateway.yaml",
        "-  llm_share: 0.05   # for now",
        "+  threshold: 0.9   # for now",
    ]
    assert Source(path, {}).load().config.routing.threshold == 0.9


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (CONFIG.partition("routing")[0], "no section 'routing'"),
        (CONFIG.replace("  llm_share", "  # llm_share"), "neither llm_share nor threshold"),
        (CONFIG.replace("tiers", "tears"), "left as it was"),
        (CONFIG + "  threshold: 0.5\n", "left as it was"),
        ("routing: [", "not YAML"),
        ("\udcff", "not UTF-8"),
    ],
    ids=["no routing", "no setting", "wrong before", "both settings", "no yaml", "no text"],
)
def test_a_config_that_cannot_be_changed_stays(smallfirst: Run, records: Path, config: str, said: str) -> None:
    """Exit 2 with the reason, and not a byte of the file is another."""
    path = Path("gateway.yaml")
    path.write_text(config, "utf-8", errors="surrogateescape")
    before = path.read_bytes()
    result = smallfirst("calibrate", "--records", "records.db", "--write", str(path))
    assert result.code == 2
    assert said in result.err
    assert "Traceback" not in result.err
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--data or --records"),
        (("--records", "records.db", "--data", "x"), "--data or --records"),
        (("--records", "none.db"), "none.db does not exist"),
        (("--records", "text.db"), "text.db is not a database of records"),
        (("--records", "empty.db"), "no scored request"),
        (("--records", "records.db", "--llm-share", "5"), "--llm-share"),
        (("--records", "records.db", "--write", "none.yaml"), "none.yaml: cannot be read"),
        (("--data", "none.jsonl"), "none.jsonl does not exist"),
        (("--data", "train.jsonl"), "of the split 'dev': take another with --split"),
        (("--data", "train.jsonl", "--split", "all", "--model", "nowhere"), "router in nowhere"),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, tuple) else None,
)
def test_bad_input_exits_2(smallfirst: Run, records: Path, arguments: tuple[str, ...], said: str) -> None:
    """The message names what is wrong, and no traceback follows."""
    Path("text.db").write_text("no database\n" * 100)
    SqliteRecords(Keeping(Path("empty.db")), lambda: 0.0, print).close()
    examples.jsonl(Path("train.jsonl"), [{"prompt": f"why {n}", "verdict": n % 2, "split": "train"} for n in range(20)])
    result = smallfirst("calibrate", *arguments)
    assert result.code == 2
    assert said in " ".join(result.err.split())
    assert "Traceback" not in result.err
