"""The board is one that Grafana loads, and asks only for what the gateway has."""

from __future__ import annotations

from itertools import pairwise

import pytest
import yaml

from tests.deploy.board import BOARD, DEPLOY, Panel, board, filled, panels, rows
from tests.deploy.names import wrong_names
from tests.docs.test_metrics_page import SETS

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
STATES = SETS["backend_state", "state"]


def test_it_is_a_classic_board_for_provisioning() -> None:
    """A stable uid, no database id, and nothing that a person would have to fill in."""
    whole = board()
    assert whole["uid"] == "smallfirst"
    assert whole["id"] is None
    assert 39 <= whole["schemaVersion"] <= 42
    assert "__inputs" not in whole
    assert "${DS_" not in BOARD.read_text("utf-8")


def test_variables() -> None:
    """The datasource comes first; the others ask it."""
    first, *others = board()["templating"]["list"]
    assert (first["type"], first["query"], first["name"]) == ("datasource", "prometheus", "datasource")
    assert [one["name"] for one in others] == ["instance", "large"]
    assert all(one["datasource"] == DATASOURCE for one in others)
    assert [wrong_names(one["definition"].split("(")[1].split(",")[0]) for one in others] == [[], []]


def test_ids_and_titles_are_unique() -> None:
    """Rows too."""
    everything = board()["panels"]
    for key in ("id", "title"):
        values = [panel[key] for panel in everything]
        assert len(set(values)) == len(values)


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: str(panel["title"]))
def test_each_panel(panel: Panel) -> None:
    """It says what it shows and in which unit, and each of its targets goes to the chosen datasource."""
    assert panel["description"]
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"] == DATASOURCE
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]) > 0
    for target in panel["targets"]:
        assert target["datasource"] == DATASOURCE
        assert wrong_names(filled(target["expr"], "5m", "llm")) == []
        assert target["expr"].count("smallfirst_") == target["expr"].count('instance=~"$instance"')
        assert target["instant"] == ("$__range" in target["expr"] or panel["type"] in ("stat", "table"))
        assert "[5m]" not in target["expr"]


def test_panels_lie_in_rows_without_overlap() -> None:
    """24 columns, each line of panels filled and of one height, rows as headings in between."""
    lines: dict[int, list[Panel]] = {}
    for panel in board()["panels"]:
        lines.setdefault(panel["gridPos"]["y"], []).append(panel)
    for line in lines.values():
        assert [panel["gridPos"]["x"] for panel in line] == [sum(_widths(line[:n])) for n in range(len(line))]
        assert sum(_widths(line)) == 24
        assert len({panel["gridPos"]["h"] for panel in line}) == 1
    for (above, line), (below, _) in pairwise(lines.items()):
        assert above + line[0]["gridPos"]["h"] == below


def _widths(line: list[Panel]) -> list[int]:
    return [panel["gridPos"]["w"] for panel in line]


def test_each_row_is_a_question() -> None:
    """Which an operator asks, and has panels that answer it."""
    assert all(title.endswith("?") and under for title, under in rows().items())


def test_each_state_has_its_name() -> None:
    """The numbers of the expression are those of the mapping."""
    panel = next(panel for panel in panels() if panel["type"] == "state-timeline")
    mapped = panel["fieldConfig"]["defaults"]["mappings"][0]["options"]
    named = {value["text"]: number for number, value in mapped.items()}
    assert set(named) == STATES
    for state, number in named.items():
        asked = f'{number} * smallfirst_backend_state{{instance=~"$instance", state="{state}"}}'
        assert asked in panel["targets"][0]["expr"]


def test_provisioning() -> None:
    """The datasource asks as often as Prometheus scrapes, and each file is where compose.yaml puts it."""
    source = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yaml").read_text("utf-8"))
    scraping = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text("utf-8"))
    provider = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/smallfirst.yaml").read_text("utf-8"))
    assert source["datasources"][0]["type"] == "prometheus"
    assert source["datasources"][0]["jsonData"]["timeInterval"] == scraping["global"]["scrape_interval"]
    assert provider["providers"][0]["type"] == "file"
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))["services"]
    path = provider["providers"][0]["options"]["path"]
    assert f"./grafana/dashboards:{path}:ro" in services["grafana"]["volumes"]
    assert "./grafana/provisioning:/etc/grafana/provisioning:ro" in services["grafana"]["volumes"]
    assert scraping["scrape_configs"][0]["authorization"]["credentials_file"] == "/run/secrets/admin_key"
    assert "admin_key" in services["prometheus"]["secrets"]
    assert source["datasources"][0]["url"] == "http://prometheus:9090"
    assert scraping["scrape_configs"][0]["static_configs"] == [{"targets": ["gateway:8080"]}]
