"""docs/dashboards.md says of the board and the rules what they are."""

from __future__ import annotations

import re

import yaml

from tests.deploy.board import DEPLOY, board, expressions
from tests.deploy.board import rows as board_rows
from tests.deploy.test_rules import ALERTS
from tests.docs.pages import blocks, rows, section, word, words

PAGE = "dashboards.md"


def expression(name: str) -> str:
    return " ".join(str(ALERTS[name]["expr"]).split())


def test_rows_of_the_board() -> None:
    """All of them, in their order."""
    assert [row[0] for row in rows(PAGE, "The board")] == list(board_rows())


def test_variables_of_the_board() -> None:
    """By their names."""
    line = next(line for line in section(PAGE, "The board").splitlines() if line.startswith("At the top"))
    assert words(line) == [one["name"] for one in board()["templating"]["list"]]


def test_alerts() -> None:
    """All of them, in their order, with severity and patience."""
    told = [(word(row[0]), row[1], re.findall(r"\d+m\b", row[2])) for row in rows(PAGE, "Alerts")]
    shipped = [
        (name, rule["labels"]["severity"], [rule["for"]] if "for" in rule else []) for name, rule in ALERTS.items()
    ]
    assert told == shipped


def test_limits_of_alerts() -> None:
    """The figures in words are those of the expressions."""
    assert "15m > 0.05 and instance:smallfirst_failed_requests:increase15m > 5" in expression("SmallfirstErrors")
    assert "ratio >= 0.75" in expression("SmallfirstQueueNearFull")
    assert "p95_rate15m > 10" in expression("SmallfirstFirstTokenSlow")
    share = expression("SmallfirstShareOffTarget")
    assert "> 0.25 * smallfirst_llm_share_target" in share
    assert "increase6h >= 100" in share
    assert expression("SmallfirstEndpointIdle").count("[10m]") == 2


def test_files_and_paths() -> None:
    """What is copied where, as the shipped provisioning expects it; without a place for alerts to go."""
    provider = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/smallfirst.yaml").read_text("utf-8"))
    copied = next(row[1] for row in rows(PAGE, "Loading them") if "provisioning" in row[0])
    assert words(copied) == ["/etc/grafana/provisioning", provider["providers"][0]["options"]["path"]]
    config = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text("utf-8"))
    assert "credentials_file" in config["scrape_configs"][0]["authorization"]
    assert "alerting" not in config


def test_commands_name_files_that_exist() -> None:
    """Each pattern finds some."""
    for line in blocks(PAGE, "sh")[0].splitlines():
        pattern = line.split()[-1]
        assert list(DEPLOY.parent.glob(pattern)), pattern


def test_where_the_last_tier_is_named() -> None:
    """Once in each file of rules; the board has a variable for it."""
    for name in ("recording.yml", "alerts.yml"):
        assert (DEPLOY / "prometheus/rules" / name).read_text("utf-8").count('tier="llm"') == 1
    assert 'tier="$large"' in expressions("Share of the large model")[0]


def test_saved_is_empty_without_a_price() -> None:
    """As the page says of it, and of money by the hour."""
    assert "unless sum(increase(smallfirst_unpriced_requests_total" in expressions("Saved")[0]
    hourly = [panel for row in board_rows().values() for panel in row if panel["title"].endswith("by the hour")]
    assert [panel["interval"] for panel in hourly] == ["5m", "5m"]
